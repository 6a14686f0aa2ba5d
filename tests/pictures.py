"""Pictures as the bytes of files."""

import io


def saved(image, form="JPEG", **options):
    """Returns the bytes of a picture in a format of Pillow's, such as "JPEG"."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
