"""The components that live page and report share: what is drawn, from live state or archive, and the page around it."""
