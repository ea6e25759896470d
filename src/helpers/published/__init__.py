"""Values that the authors published, and how they are shown."""

from helpers.published.panel import PublishedError, published_flourishing, published_headlines

__all__ = ["PublishedError", "published_flourishing", "published_headlines"]
