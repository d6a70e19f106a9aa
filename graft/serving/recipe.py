"""Example code for calling the ONNX file, shown by the report and the model card."""

RECIPE = '''\
import json

import numpy
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("model.onnx")
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata["classes"])


def decode(path):
    """uint8 [height, width, 3], as in training: upright by EXIF, RGB, 8 bits per channel, nothing transparent."""
    image = ImageOps.exif_transpose(Image.open(path))
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray((numpy.asarray(image) / 257).round().clip(0, 255).astype("uint8"))
    opaque = Image.new("RGB", image.size, metadata.get("background", "white"))
    opaque.paste(image.convert("RGBA" if opacity else "RGB").convert("RGB"), mask=opacity)
    return numpy.asarray(opaque)


pixels = decode("image.png")[None]  # uint8 [batch, height, width, 3]
probabilities = session.run(["probabilities"], {"pixels": pixels})[0]  # float32 [batch, class]
labels = [classes[index] for index in probabilities.argmax(axis=1)]
print(labels)
'''
"""Example code for callers; it needs only onnxruntime and Pillow, and decodes as
`graft.modalities.image.reading.decode`."""
