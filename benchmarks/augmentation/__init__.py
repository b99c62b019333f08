"""What a stylised set is worth to a classifier, beside other ways to augment photographs."""
