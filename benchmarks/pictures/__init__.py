"""What a network or a recipe is worth to the eye."""
