"""What people look at: the terminal now, pages and comparisons later."""
