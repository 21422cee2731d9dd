"""Pictures of a report for Slack: which node reaches which, and where the packet's way ends.

matplotlib is an extra, and large: a child process imports it, never the bot itself.
"""

from bot.render.pictures.artist import Artist, Picture
from bot.render.pictures.matrix_model import Matrix, matrix_of
from bot.render.pictures.path_model import Way, way_of

__all__ = ["Artist", "Matrix", "Picture", "Way", "matrix_of", "way_of"]
