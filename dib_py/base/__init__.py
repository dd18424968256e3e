"""Where the first layer comes from: an image file of this machine, or one from somewhere else, downloaded and verified.

A base is trusted (``verified``) only if its content has a strong checksum that the user or the publisher gave.
"""

from __future__ import annotations

from dib_py.base.cache import image_cache
from dib_py.base.cloud_image import BaseImage, obtain
from dib_py.base.spec import BaseSpec, base_spec

__all__ = ["BaseImage", "BaseSpec", "base_spec", "image_cache", "obtain"]
