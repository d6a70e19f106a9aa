"""Low-rank adapters: of a frozen layer, only a small correction learns, and in the end it is added to the layer.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685); by the peft library.
"""

import re
import warnings

from torch import nn

from graft.core.errors import ParamsError
from graft.networks.backbones import Classifier


def add_adapters(classifier: Classifier, num_frozen: int, rank: int) -> None:
    """Beside every linear layer and every convolution over all channels in the blocks after the first `num_frozen`.

    What the layers themselves hold stands still from now on, BatchNorm too; the adapters and the head learn. Drawn from
    torch's global random state; at first they change nothing.

    Raises:
        ParamsError: these blocks have no such layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # costs seconds, and few need it

    paths = _adaptable(classifier, num_frozen)
    if not paths:
        raise ParamsError(
            "finetune.method is lora, but the blocks that may learn have no linear layer and no convolution over all "
            "channels. Raise finetune.num_trained_blocks, or take another method."
        )
    # one strength for all ranks, so that another rank needs no other learning rate (Kalajdzievski 2023, 2312.03732)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, paths)), use_rslora=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a backbone is no language model
        inject_adapter_in_model(config, classifier.backbone)
    classifier.note_what_may_learn()


def merge_adapters(classifier: Classifier) -> None:
    """Adds what the adapters learnt to their layers, and leaves the network as it was before `add_adapters`."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapters = {path: layer for path, layer in classifier.named_modules() if isinstance(layer, BaseTunerLayer)}
    for path, adapter in adapters.items():
        adapter.merge()
        classifier.set_submodule(path, adapter.get_base_layer())


def _adaptable(classifier: Classifier, num_frozen: int) -> list[str]:
    backbone = classifier.backbone
    inside_attention = {
        inner
        for module in backbone.modules()
        if isinstance(module, nn.MultiheadAttention)
        for inner in module.modules()
    }  # its output layer is never called: the attention takes its weights
    return [
        path
        for path, module in backbone.named_modules()
        if path.startswith("blocks.")
        and int(path.split(".")[1]) >= num_frozen
        and module not in inside_attention
        and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
    ]
