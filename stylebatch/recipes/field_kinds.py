"""Which of a recipe's fields decide pixels, and time; and which are layers."""

# What a reader is told and no pixel depends on: not part of a fingerprint.
PROSE = ("title", "source", "notes")
# Fields that may be one of these words: layers of the architecture's own, each with weight 1.
LAYER_FIELDS = ("content_layers", "style_layers")
LAYER_WORDS = ("default", "before_activation")
# Fields that came when sets had been made already. Where they say what was before them, they leave
# fingerprints as they were.
ADDED = (
    *("style_weight_px", "scales", "content_scales", "tv_divisor", "tv_border"),
    *("strength_acts_on", "color_transfer", "tile_px"),
)
# What may differ while an evaluation of the same size takes as long.
SAME_TIME = {
    *PROSE,
    *("content_weight", "style_weight", "style_weight_px", "tv_weight", "strength"),
    *("start", "noise", "noise_scale", "size_px", "bucket_px", "steps", "tolerance", "window"),
    *("max_content", "keep", "output_size", "output_resampling", "rounding", "side_by_side"),
    *("brightness", "saturation", "sharpness", "learning_rate", "tolerated_rise"),
}
