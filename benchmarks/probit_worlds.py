"""Probit model of simulated arms: a model is correct on an item whose latent difficulty is below its skill.

S seeds, N items. The benchmarks that simulate (`verdict_worlds`, `labels_saved`, `test_reuse`,
`examination_intervals`) differ in what is random, and in the order of drawing; the model is the same.
"""

import numpy as np
from scipy.stats import norm


def skills(accuracy: float, deviation: float, effects_S: np.ndarray) -> np.ndarray:
    """Latent skills of seeds [S] with the given mean accuracy (0..1).

    The effect of the seed widens the latent distribution, but must not change the mean accuracy.

    Args:
        deviation: standard deviation of the skills; 0.05, 0.15 and 0.3 are 1.2, 3.5 and 7 points at 85 %.
        effects_S: standard normal effects of the seeds.
    """
    return norm.ppf(accuracy) * (1 + deviation**2) ** 0.5 + deviation * effects_S


def mixed(share: float, one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """Mixture [N] with unit variance if both have it; `share` of the variance is from the first one."""
    return share**0.5 * one_N + (1 - share) ** 0.5 * other_N


def right_answers(skills_S: np.ndarray, difficulty_N: np.ndarray, noise_SN: np.ndarray) -> np.ndarray:
    """Correctness [S, N]: 1 where the difficulty plus the noise of seed and item is below the skill, else 0."""
    return (difficulty_N + noise_SN < skills_S[:, None]).astype(float)
