"""What the documentation tells people to type, found in its pages, checked, and made short enough for a test."""
