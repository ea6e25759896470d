"""Command line: ``python -m helpers.share --help``; see docs/sharing.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.profiles import HelpersError
from helpers.share.errors import ShareError

STOPPED = 130
TOKEN = "HF_TOKEN"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers.share", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    model = argparse.ArgumentParser(add_help=False)
    add = model.add_argument
    add("--profile", default="demo", help="name in config/profiles, or a YAML file")
    add("--root", default="", help="folder of all runs (default: runs/)")
    add("--task", default="", help="task of the model")
    add("--model", default=None, help="key of the base model (default: the task's last one)")
    add("--labels", default=None, help="what it learnt from (default: the profile's train_labels)")
    add("--seed", type=int, default=None, help="refuse a training with another seed")

    push = commands.add_parser("push", parents=[model], help="write a folder, and upload it")
    add = push.add_argument
    add("--what", choices=["adapter", "merged"], default=None, help="default: merged, if allowed")
    add("--out", default="", help="folder (default: runs/<profile>/share/...)")
    add("--repo", default="", help="user/name on the model hub; empty: no upload")
    add("--private", action="store_true", help="only you can see it on the hub")
    add("--update", action="store_true", help="the repository exists: add a new version")
    add("--rights", default="", help="whose the training texts are, and what allows publishing")
    add("--language", default="", help="code of the texts' language, e.g. en")
    add("--yes", action="store_true", help="do not ask before something becomes public")

    serve = commands.add_parser("serve", parents=[model], help="start an OpenAI-compatible server")
    add = serve.add_argument
    add("--folder", default="", help="serve a shared model instead of one of a run")
    add("--host", choices=["127.0.0.1", "0.0.0.0"], default="127.0.0.1", help="who may ask")
    add("--port", type=int, default=8001)
    add("--engine", choices=["auto", "transformers", "vllm"], default="auto")
    add("--threads", type=int, default=1, help="of torch")

    taking = commands.add_parser("take", help="take over the task of a shared model")
    taking.add_argument("folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors meant for the user become a message and exit status 1."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "take":
            from helpers.share.take import take

            print(take(Path(given.folder)))
            return 0
        return _push(given) if given.command == "push" else _serve(given)
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return STOPPED


def _trained(given: argparse.Namespace) -> Any:
    from helpers.runs import open_run
    from helpers.share.finished import find

    run = open_run(given.profile, given.root or None)
    if not given.task:
        raise ShareError(f"say of which task: --task {' or '.join(run.profile.finetuning.tasks)}")
    return find(run, given.task, given.model, given.labels, given.seed)


def _push(given: argparse.Namespace) -> int:
    from helpers.share.card import UNSTATED, check_publishable, write_card
    from helpers.share.folder import write_folder
    from helpers.share.licences import check_licence, licence_of

    trained = _trained(given)
    merged = licence_of(trained.spec).merged and (trained.folder / "model").is_dir()
    what = given.what or ("merged" if merged else "adapter")
    licence = check_licence(trained.spec, what, given.repo)
    if given.repo:
        check_publishable(trained, given.rights, given.language)
    card = write_card(
        trained, what, licence, repo=given.repo, rights=given.rights, language=given.language
    )
    default = trained.run.root / "share" / f"{trained.task.name}-{trained.name}-{what}"
    out = Path(given.out).resolve() if given.out else default
    write_folder(trained, what, out, card, licence.notice)
    shown = os.path.relpath(out)
    size = sum(path.stat().st_size for path in out.iterdir()) / 2**20
    print(f"{shown}: {what} model, {size:,.0f} MiB in {len(list(out.iterdir()))} files")
    if UNSTATED in card:
        print("README.md: the rights in the training texts are not stated (--rights)")
    token = os.environ.get(TOKEN, "")
    if not (given.repo and token):
        print(_how(given, what))
        return 0
    return _upload(given, out, token)


def _how(given: argparse.Namespace, what: str) -> str:
    """Return the exact command that uploads."""
    parts = [f"--profile {given.profile}", f"--task {given.task}", f"--what {what}"]
    parts += [f"--{n} {v}" for n in ("root", "model", "labels", "out") if (v := getattr(given, n))]
    parts += [f'--{n} "{v}"' for n in ("rights", "language") if (v := getattr(given, n))]
    parts += ["--private"] * given.private + ["--update"] * given.update
    parts.append(f"--repo {given.repo or 'USER/NAME'}")
    return (
        "nothing was uploaded. To upload it (a token with write access: your account on the hub, "
        f"Settings, Access Tokens):\n  {TOKEN}=hf_... python -m helpers.share push "
        + " ".join(parts)
    )


def _upload(given: argparse.Namespace, out: Path, token: str) -> int:
    from helpers.share.hub import upload

    who = "you alone" if given.private else "EVERYBODY"
    print(f"{given.repo} on the hub, to be seen by {who}:")
    for path in sorted(out.iterdir()):
        print(f"  {path.name}  {path.stat().st_size:,} bytes")
    if not given.yes:
        if not sys.stdin.isatty():
            raise ShareError("nothing was uploaded: add --yes where nobody can be asked")
        if input("Upload? What was public once cannot be taken back. [y/N] ").strip() != "y":
            print("nothing was uploaded")
            return 0
    done = upload(out, given.repo, token, private=given.private, update=given.update)
    seen = "private" if done.private else "public: everybody can download it"
    print(f"{done.url} (commit {done.commit[:12]}), {seen}")
    return 0


def _serve(given: argparse.Namespace) -> int:
    from helpers.share.serving import EVERYWHERE, from_folder, from_run, profile_lines, running

    if given.folder:
        folder = Path(given.folder).resolve()
        model, logs = from_folder(folder), folder.parent
    else:
        trained = _trained(given)
        model, logs = from_run(trained), trained.run.path("logs", "x").parent
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    print(f"loading {model.name} ...", flush=True)
    log = logs / f"serve-{model.name}.log"
    with running(
        model,
        log,
        host=given.host,
        port=given.port,
        engine=given.engine,
        threads=given.threads,
    ) as process:
        print(f"base URL  http://127.0.0.1:{given.port}/v1\nmodel     {model.name}")
        if given.host == EVERYWHERE:
            print("Everybody who reaches this machine can ask it: there is no key.")
        print("\nAs a labeller of chapter 02, in a profile:\n")
        print(profile_lines(model, given.port))
        print("\nCtrl-C ends it.", flush=True)
        code = process.wait()
    print(f"the server ended (status {code}): see {os.path.relpath(log)}", file=sys.stderr)
    return 1
