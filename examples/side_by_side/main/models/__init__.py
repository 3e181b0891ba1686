from models.painter import Painter

__all__ = ["Painter"]
