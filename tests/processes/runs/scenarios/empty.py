"""No user class at all."""
