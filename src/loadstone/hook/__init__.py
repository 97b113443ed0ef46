"""What loadstone adds to a Locust process: recording every request, shipping it, and reporting the life of the run."""
