"""Image files ↔ upright 8-bit sRGB pixels, their colours, and sheets of several."""
