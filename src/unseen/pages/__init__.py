"""Pictures → one HTML file to look at: no network, no server, nothing beside it.

`gallery` shows sections of thumbnails, `scatter` a map of a collection, `report` what an evaluation
found, `explanations` why pictures have their labels, `timeline` what happens in videos. HTML, CSS
and JS lie here as files; Python joins them, and the data goes in as JSON that the page's script
shows as text.
"""

from unseen.images.thumbnails import thumbnail, thumbnails
from unseen.pages.explanation_page import Card, explanations
from unseen.pages.gallery_page import Item, Section, gallery
from unseen.pages.html import link
from unseen.pages.report_page import report
from unseen.pages.scatter_page import Point, scatter
from unseen.pages.timeline_page import Lane, VideoTimeline, timeline

__all__ = [
    "Card",
    "Item",
    "Lane",
    "Point",
    "Section",
    "VideoTimeline",
    "explanations",
    "gallery",
    "link",
    "report",
    "scatter",
    "thumbnail",
    "thumbnails",
    "timeline",
]
