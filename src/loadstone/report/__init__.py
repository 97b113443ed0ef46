"""What people look at: runs in the terminal, reports and exports."""
