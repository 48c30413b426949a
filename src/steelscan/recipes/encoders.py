"""The encoders that a recipe starts from pretrained weights. No torch here."""

from steelscan.models import encoder_of, without_weights
from steelscan.prediction import EncoderFittedFor, Member
from steelscan.recipes.spec import Recipe


def wanted_encoders(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the encoders that start from ImageNet weights, each once, in order."""
    members = [member for step in recipe.network_steps for member in step.ensemble.members]
    starts = [member.start for member in members]
    networks = [
        *(member.network for member in members),
        *(start.network for start in starts if isinstance(start, EncoderFittedFor)),
    ]
    encoders = map(encoder_of, networks)
    return tuple(dict.fromkeys(each.encoder for each in encoders if each.weights == "imagenet"))


def with_random_weights(recipe: Recipe) -> Recipe:
    """Return the same recipe with random initial weights."""
    named = recipe.named.items()
    return recipe.with_members(
        {name: list(map(_without_weights, step.ensemble.members)) for name, step in named}
    )


def _without_weights(member: Member) -> Member:
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(network=without_weights(start.network))
    return member.but(network=without_weights(member.network), start=start)
