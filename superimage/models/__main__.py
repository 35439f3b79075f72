"""Lists models with their costs, and converts published weights.

python -m superimage.models [list] [PATTERN ...]                          parameters, GMACs, input and windows
python -m superimage.models convert FILE --model NAME --output FILE       published weights for one of our models
python -m superimage.models papers                                        the papers' costs and ours
python -m superimage.models families [FAMILY ...]                         how timm's model families take super images
python -m superimage.models docs docs/models.md                           write these tables into the document
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shards.page.markdown import check_markers, write_tables
from superimage.models.convert import convert
from superimage.models.cost_tables import families_table, list_table, papers_table
from superimage.models.families import FAMILIES, try_family


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns exit status 0, or 2 after a user error, which is printed in one line."""
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(argv or ["list"])
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"models: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m superimage.models", description="Models for super images.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="parameters, GMACs, input and windows of each model")
    listing.add_argument("pattern", nargs="*", help="models of ours or timm's; * and ? are wildcards (default: ours)")
    listing.set_defaults(run=run_list)
    _add_convert(commands.add_parser("convert", help="convert published weights for a model"))
    commands.add_parser("papers", help="compare parameters and GMACs with the papers").set_defaults(run=run_papers)
    families = commands.add_parser("families", help="try timm's model families on a square and an oblong super image")
    families.add_argument("family", nargs="*", help="families to try (default: all)")
    families.set_defaults(run=run_families)
    docs = commands.add_parser("docs", help="write the tables into a Markdown document, between its markers")
    docs.add_argument("document", type=Path)
    docs.set_defaults(run=run_docs)
    return top


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "checkpoint",
        type=Path,
        help="file of published weights: Swin (Microsoft, timm, SIFAR), ResNet (timm, SIFAR) or UniFormer",
    )
    command.add_argument("--model", required=True, help="name of the model to convert the weights for")
    command.add_argument("--output", required=True, type=Path, help="file to write")
    command.add_argument("--img-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="input size in pixels")
    command.add_argument(
        "--window", nargs="+", default=(), help="window size of a Swin: one, or one for each stage; also global, square"
    )
    command.add_argument("--keep-head", action="store_true", help="keep the classifier, which is dropped by default")
    command.set_defaults(run=run_convert)


def run_list(args: argparse.Namespace) -> None:
    print(list_table(args.pattern))


def run_convert(args: argparse.Namespace) -> None:
    options = {"img_size": tuple(args.img_size)} if args.img_size else {}
    for line in convert(
        args.checkpoint, args.output, args.model, keep_head=args.keep_head, windows=args.window, **options
    ):
        print(line)
    if args.keep_head:
        print(f"next: python eval_video.py --checkpoint {args.output} --model {args.model} ...")
    else:
        flags = f"--model {args.model} --pretrained --pretrained-path {args.output}"
        print(f"next: python train_image.py {flags} ...")


def run_papers(args: argparse.Namespace) -> None:
    print(papers_table())


def run_families(args: argparse.Namespace) -> None:
    unknown = set(args.family) - set(FAMILIES)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]} is not one of the families: {', '.join(FAMILIES)}")
    print(families_table([try_family(family) for family in args.family or FAMILIES]))


def run_docs(args: argparse.Namespace) -> None:
    check_markers(args.document, ("list", "papers", "families"))  # before the tables, which take minutes
    tables = {
        "list": list_table(()),
        "papers": papers_table(),
        "families": families_table([try_family(family) for family in FAMILIES]),
    }
    write_tables(args.document, tables)
    print(args.document)


if __name__ == "__main__":
    sys.exit(main())
