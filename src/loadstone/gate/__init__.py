"""Gates for CI: comparison of two runs with confidence intervals, and verdicts as JUnit XML and Markdown."""
