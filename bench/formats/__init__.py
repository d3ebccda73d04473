"""What decoding costs beside the plain library parse."""
