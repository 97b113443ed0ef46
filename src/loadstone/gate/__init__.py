"""Gates for CI: two runs compared with confidence, and results as JUnit XML and Markdown."""
