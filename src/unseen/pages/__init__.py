"""Pictures → one HTML file to look at: no network, no server, nothing beside it.

`gallery` shows sections of thumbnails, `scatter` a map of a collection, `report` what an evaluation
found, `explanations` why pictures have their labels. HTML, CSS and JS lie here as files; Python
joins them, and the data goes in as JSON that the page's script shows as text.
"""

from unseen.images.thumbnails import thumbnail, thumbnails
from unseen.pages.explanation_page import Card, explanations
from unseen.pages.gallery_page import Item, Section, gallery
from unseen.pages.html import link
from unseen.pages.report_page import report
from unseen.pages.scatter_page import Point, scatter

__all__ = [
    "Card",
    "Item",
    "Point",
    "Section",
    "explanations",
    "gallery",
    "link",
    "report",
    "scatter",
    "thumbnail",
    "thumbnails",
]
