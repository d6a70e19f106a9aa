"""Low-rank adapters: a small trained correction of a frozen layer, added to the layer after the training.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685); from the peft library.
"""

import re
import warnings

from torch import nn

from graft.core.errors import ParamsError
from graft.networks.backbones import Classifier


def add_adapters(classifier: Classifier, num_frozen: int, rank: int) -> None:
    """Adds adapters to every linear layer and every ungrouped convolution in the blocks after the first `num_frozen`.

    The layers themselves are frozen from now on, BatchNorm too; the adapters and the head are trained. Adapters are
    drawn from torch's global random state; at first they do not change the outputs.

    Raises:
        ParamsError: these blocks have no such layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds, and few trainings need it

    paths = _adaptable(classifier, num_frozen)
    if not paths:
        raise ParamsError(
            "finetune.method is lora, but the trained blocks have no linear layer and no ungrouped convolution. "
            "Raise finetune.num_trained_blocks, or choose another method."
        )
    # one strength for all ranks, so that another rank needs no other learning rate (Kalajdzievski 2023, 2312.03732)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, paths)), use_rslora=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a backbone is not a language model
        inject_adapter_in_model(config, classifier.backbone)
    classifier.record_trainable()


def merge_adapters(classifier: Classifier) -> None:
    """Adds the adapters to their layers; the network then has the structure from before `add_adapters`."""
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
    }  # its output layer is never called: the attention uses its weights
    return [
        path
        for path, module in backbone.named_modules()
        if path.startswith("blocks.")
        and int(path.split(".")[1]) >= num_frozen
        and module not in inside_attention
        and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
    ]
