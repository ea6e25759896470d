"""What the licences of base models allow to be passed on; names as in ``config/models.yaml``."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.models import ModelSpec
from helpers.share.errors import ShareError


@dataclass(frozen=True)
class Licence:
    """A base model's licence.

    Attributes
    ----------
    hub : its identifier on the model hub.
    link : where its text is.
    merged : whether merged weights are pushed without further ado.
    notice : what has to go with anything derived from the model.
    prefix : how the name of a derived model must begin.
    """

    hub: str
    link: str = ""
    merged: bool = True
    notice: str = ""
    prefix: str = ""


def _llama(version: str, name: str, built: str, prefix: str = "") -> Licence:
    notice = (
        f"{name} is licensed under the {name.upper() if version == '2' else name} Community "
        "License, Copyright (c) Meta Platforms, Inc. All Rights Reserved."
    )
    page = "llama3_1" if version == "3.1" else f"llama{version.replace('.', '_')}"
    link = f"https://www.llama.com/{page}/license/"
    return Licence(f"llama{version}", link, False, f"{notice}\n{built}".strip(), prefix)


LICENCES = {
    "Apache-2.0": Licence("apache-2.0"),
    "MIT": Licence("mit"),
    "Llama 2 Community License": _llama("2", "Llama 2", ""),
    "Llama 3 Community License": _llama(
        "3", "Meta Llama 3", "Built with Meta Llama 3", prefix="Llama-3"
    ),
    "Llama 3.1 Community License": _llama("3.1", "Llama 3.1", "Built with Llama", prefix="Llama"),
    "Llama 3.2 Community License": _llama("3.2", "Llama 3.2", "Built with Llama", prefix="Llama"),
}


def licence_of(spec: ModelSpec) -> Licence:
    """Return a base model's licence; one that is not known here allows adapters only."""
    return LICENCES.get(spec.licence, Licence("other", merged=False))


def check_licence(spec: ModelSpec, what: str, repo: str = "") -> Licence:
    """Return the licence if it allows `what` to be pushed under the name `repo`.

    Raises
    ------
    ShareError
        If merged weights would carry the base model's weights and its licence asks for more than
        this command can promise; or the name does not begin as the licence demands.
    """
    licence = licence_of(spec)
    if what == "merged" and not licence.merged:
        raise ShareError(
            f"{spec.key} is under the {spec.licence}: merged weights contain Meta's or another "
            "owner's model, which may be passed on only on that licence's terms (a copy of it, its "
            "notice, its use policy). Push the adapter instead: --what adapter"
        )
    name = repo.split("/")[-1]
    if repo and licence.prefix and not name.lower().startswith(licence.prefix.lower()):
        raise ShareError(
            f"the {spec.licence} asks that the name of a derived model begin with "
            f"'{licence.prefix}': --repo {repo.split('/')[0]}/{licence.prefix}-{name}"
        )
    return licence
