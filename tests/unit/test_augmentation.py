"""Augmented pictures still show what they showed, and follow from their seeds."""

import pytest
import torch
from torch import Tensor

from graft.modalities.image.augmentation import PRESETS, augmented

CHANGING = sorted(set(PRESETS) - {"none"})


def _pictures(num: int, side_px: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 3, side_px, side_px), generator=generator).to(torch.uint8)


def _orientations(preset: str, num_seeds: int = 200) -> set[tuple[bool, bool, bool]]:
    """How a picture lies that gets brighter to the right, and half as fast to the bottom, after the preset.

    Whether brighter to the right, whether brighter to the bottom, whether faster sideways: eight ways, one for each
    of the flips and rotations of a square; unchanged it is (True, True, True).
    """
    ramp = torch.linspace(0, 1, 48)
    picture_HW = (40 + 100 * ramp[None, :] + 50 * ramp[:, None]).to(torch.uint8)
    changed = augmented(picture_HW.expand(num_seeds, 3, 48, 48), preset, torch.arange(num_seeds)).float().mean(dim=1)
    to_the_right = changed[:, :, 24:].mean(dim=(1, 2)) - changed[:, :, :24].mean(dim=(1, 2))
    to_the_bottom = changed[:, 24:].mean(dim=(1, 2)) - changed[:, :24].mean(dim=(1, 2))
    is_sideways = to_the_right.abs() > to_the_bottom.abs()
    return set(zip((to_the_right > 0).tolist(), (to_the_bottom > 0).tolist(), is_sideways.tolist(), strict=True))


def test_none_changes_nothing() -> None:
    pictures = _pictures(4)
    assert torch.equal(augmented(pictures, "none", torch.arange(4)), pictures)


@pytest.mark.parametrize("preset", CHANGING)
def test_the_same_seed_gives_the_same_picture_in_whatever_batch(preset: str) -> None:
    pictures, seeds = _pictures(6), torch.tensor([5, 0, 2**63 - 1, 7, 7, 3])
    together = augmented(pictures, preset, seeds)
    assert together.shape == pictures.shape
    assert together.dtype == torch.uint8
    backwards = augmented(pictures.flip(0), preset, seeds.flip(0)).flip(0)
    alone = torch.cat([augmented(pictures[[i]], preset, seeds[[i]]) for i in range(6)])
    assert torch.equal(together, backwards)
    assert torch.equal(together, alone)


@pytest.mark.parametrize("preset", CHANGING)
def test_another_seed_gives_another_picture(preset: str) -> None:
    changed = augmented(_pictures(1).expand(8, -1, -1, -1), preset, torch.arange(8))
    assert len({picture.numpy().tobytes() for picture in changed}) == 8


@pytest.mark.parametrize("preset", PRESETS)
def test_the_pictures_given_and_the_random_state_of_the_caller_are_left_alone(preset: str) -> None:
    pictures, state = _pictures(3), torch.random.get_rng_state()
    changed = augmented(pictures, preset, torch.arange(3))
    assert torch.equal(torch.random.get_rng_state(), state)
    changed.zero_()
    assert torch.equal(pictures, _pictures(3))


def test_documents_are_never_flipped_or_turned() -> None:
    assert _orientations("documents") == {(True, True, True)}


def test_photos_are_mirrored_left_to_right_alone() -> None:
    assert _orientations("photos") == {(True, True, True), (False, True, True)}


def test_inspection_shows_all_flips_and_rotations() -> None:
    assert len(_orientations("inspection")) == 8


@pytest.mark.parametrize("preset", ["inspection", "documents"])
def test_grey_pictures_stay_grey(preset: str) -> None:
    grey = _pictures(32)[:, :1].expand(-1, 3, -1, -1)
    changed = augmented(grey, preset, torch.arange(32))
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert torch.equal(changed[:, 0], changed[:, 2])


@pytest.mark.parametrize("preset", CHANGING)
def test_no_hue_turns(preset: str) -> None:
    """Where green and blue are equal, a turned hue would part them."""
    reddish = _pictures(32)[:, [0, 1, 1]]
    changed = augmented(reddish, preset, torch.arange(32))
    assert torch.equal(changed[:, 1], changed[:, 2])
    assert not torch.equal(changed[:, 0], changed[:, 1])


@pytest.mark.parametrize("preset", CHANGING)
@pytest.mark.parametrize("side_px", [28, 97])
def test_nothing_black_comes_in_at_the_edges(preset: str, side_px: int) -> None:
    plain = torch.full((100, 3, side_px, side_px), 128, dtype=torch.uint8)
    changed = augmented(plain, preset, torch.arange(100)).flatten(1)
    assert (changed.amax(dim=1) - changed.amin(dim=1) <= 1).all()  # one for rounding
    assert changed.amin() > 64
