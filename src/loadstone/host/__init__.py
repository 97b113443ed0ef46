"""What the operating system says about this machine: control groups and processes."""
