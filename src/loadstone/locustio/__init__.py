"""The only package that imports Locust: the hook, the user classes and what they share."""
