"""What people look at: live view, summaries and comparisons in the terminal, exported tables, the HTML report."""
