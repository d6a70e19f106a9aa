"""The way from raw pixels to what a network sees."""

import pytest
import torch

from graft.modalities.image.inputs import VIEWS, Normalise, resize


@pytest.mark.parametrize(("shape", "side_px"), [((300, 300), 160), ((28, 28), 96), ((50, 400), 224), ((64, 64), 64)])
def test_resize_is_the_antialiased_bilinear_resize_of_torch(shape: tuple[int, int], side_px: int) -> None:
    pictures = torch.randint(0, 256, (2, 3, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = torch.nn.functional.interpolate(
        pictures.float(), size=(side_px, side_px), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(resize(pictures, side_px), expected, atol=1e-3, rtol=0)


def test_views_are_exact_and_undo_themselves() -> None:
    pictures = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    for view in VIEWS.values():
        assert torch.equal(view(view(pictures)), pictures)


def test_normalise_turns_channels_for_a_bgr_source() -> None:
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 255
    assert Normalise([0, 0, 0], [1, 1, 1], "bgr")(red).flatten().tolist() == [0, 0, 1]
