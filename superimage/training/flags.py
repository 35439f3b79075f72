"""The flags of ``train_image.py``, with timm's names, types and defaults. Comments mark the few that timm lacks."""

import argparse
from pathlib import Path

from shards.cores import available_cores
from shards.epochs import CYCLE, TILE_ORDERS
from superimage.training.command_line import Flag, KeyValues

MANY = {"nargs": "+"}
KEY_VALUES = {"nargs": "*", "action": KeyValues, "metavar": "KEY=VALUE"}

# Flags in groups, as --help prints them.
GROUPS = {
    "data": (
        Flag("--data-dir", str, None, "directory of the dataset"),
        Flag(
            "--dataset",
            str,
            "",
            "timm's TYPE/NAME of the dataset; if empty, super images are recognized by their manifest, and anything "
            "else is read as class folders",
        ),
        Flag("--train-split", str, "train", "split to train on"),
        Flag("--val-split", str, "validation", "split to validate on; '' turns validation off"),
        # ours: which super images an epoch reads
        Flag(
            "--views",
            str,
            CYCLE,
            "views of a video that an epoch reads: cycle (view e % V in epoch e), all, or the number of a view",
        ),
        Flag(
            "--tile-order",
            str,
            TILE_ORDERS[0],
            "order of the frames in training: as stored, or a new random order for each sample in each epoch",
            {"choices": TILE_ORDERS},
        ),
        Flag("--class-map", str, "", "file that maps class names to indices, for class folders"),
        Flag("--num-classes", int, None, "number of classes; by default taken from the data, else from the model"),
        Flag("--img-size", int, None, "side of a square model input in pixels"),
        Flag("--input-size", int, None, "channels, height and width of the model input in pixels", {"nargs": 3}),
        Flag("--crop-pct", float, None, "fraction of each side that the center crop of validation keeps"),
        Flag("--mean", float, None, "pixel mean of each channel, 0 to 1", MANY),
        Flag("--std", float, None, "pixel standard deviation of each channel, 0 to 1", MANY),
        Flag("--interpolation", str, "", "interpolation for resizing validation images"),
    ),
    "loader": (
        Flag("-b --batch-size", int, 128, "training batch size on each device"),
        Flag("-vb --validation-batch-size", int, None, "validation batch size on each device; by default --batch-size"),
        Flag(
            "-j --workers",
            int,
            min(4, available_cores()),
            "number of loader processes for each device; by default 4, but at most the number of cores; 0 loads in the "
            "main process",
        ),
        Flag("--pin-mem", bool, False, "copy batches to the GPU through pinned memory, which is faster"),
        Flag("--shuffle-size", int, 256, "size of each loader worker's shuffle buffer in samples, for shards"),
        Flag(
            "--worker-seeding",
            str,
            "all",
            "which random generators are seeded in loader workers",
            {"choices": ("all", "part")},
        ),
    ),
    "model": (
        Flag("--model", str, "resnet50", "name of a model of timm or of this project"),
        Flag("--pretrained", bool, False, "start from timm's pretrained weights"),
        Flag("--pretrained-path", str, None, "file of weights that --pretrained loads instead, without the classifier"),
        Flag("--initial-checkpoint", str, "", "file of weights to start from, with their classifier"),
        Flag("--gp", str, None, "global pooling of the model: fast, avg, max, avgmax, ..."),
        Flag("--model-kwargs", str, {}, "extra arguments of the model constructor", KEY_VALUES),
        # ours: options of a Swin and of a ResNet for super images
        Flag(
            "--window",
            str,
            None,
            "window size of a Swin in tokens: one number, or one for each stage; global: one window for the whole "
            "stage; square: unshifted windows with the stage's shorter side, as in SIFAR's code",
            MANY,
        ),
        Flag("--extra-kernels", int, None, "kernel sizes of residual blocks appended to a ResNet", MANY),
        Flag("--extra-depthwise", bool, False, "add a depthwise convolution to the blocks of --extra-kernels"),
        Flag("--drop", float, 0.0, "dropout rate"),
        Flag("--drop-path", float, None, "stochastic depth rate (drop path)"),
        Flag("--sync-bn", bool, False, "compute batch norm statistics over all ranks (SyncBatchNorm)"),
        Flag(
            "--dist-bn",
            str,
            "reduce",
            "synchronize batch norm statistics after each epoch: reduce averages them, broadcast sends those of rank "
            "0, '' does nothing",
            {"choices": ("", "broadcast", "reduce")},
        ),
        Flag("--grad-checkpointing", bool, False, "recompute activations in the backward pass to save memory"),
    ),
    "device": (
        Flag("--device", str, None, "device to train on: cpu, cuda, cuda:1, ...; by default cuda if available"),
        Flag("--amp", bool, False, "train with automatic mixed precision"),
        Flag("--amp-dtype", str, "float16", "data type of --amp", {"choices": ("float16", "bfloat16")}),
        Flag("--channels-last", bool, False, "use the channels-last memory layout"),
        Flag(
            "--torchcompile",
            str,
            None,
            "compile the model by torch.compile; the backend is inductor if none is given",
            {"nargs": "?", "const": "inductor"},
        ),
    ),
    "optimizer": (
        Flag("--opt", str, "sgd", "optimizer"),
        Flag("--opt-eps", float, None, "optimizer epsilon; by default the optimizer's default"),
        Flag("--opt-betas", float, None, "optimizer betas; by default the optimizer's default", MANY),
        Flag("--momentum", float, 0.9, "optimizer momentum"),
        Flag("--weight-decay", float, 2e-5, "weight decay"),
        Flag("--clip-grad", float, None, "clip gradients at this value; by default there is no clipping"),
        Flag("--clip-mode", str, "norm", "clipping mode of --clip-grad", {"choices": ("norm", "value", "agc")}),
        Flag("--layer-decay", float, None, "layer-wise learning rate decay: factor from each layer to the one below"),
        Flag("--layer-decay-min-scale", float, 0, "smallest learning rate scale of --layer-decay"),
        Flag("--layer-decay-no-opt-scale", float, None, "freeze layers whose --layer-decay scale is below this"),
        Flag("--opt-kwargs", str, {}, "extra arguments of the optimizer", KEY_VALUES),
        Flag("--grad-accum-steps", int, 1, "number of batches whose gradients are accumulated for an update"),
    ),
    "learning rate schedule": (
        Flag("--epochs", int, 300, "epochs of the schedule, without --cooldown-epochs"),
        Flag("--sched", str, "cosine", "learning rate schedule"),
        Flag("--sched-on-updates", bool, False, "step the schedule after each update instead of each epoch"),
        Flag("--lr", float, None, "learning rate; by default computed from --lr-base and the global batch size"),
        Flag("--lr-base", float, 0.1, "learning rate for a global batch of --lr-base-size samples"),
        Flag("--lr-base-size", int, 256, "global batch size that --lr-base is for"),
        Flag(
            "--lr-base-scale",
            str,
            "",
            "scaling of the learning rate with the global batch size; if empty, it depends on the optimizer",
            {"choices": ("", "linear", "sqrt")},
        ),
        Flag("--lr-noise", float, None, "add noise to the learning rate between these fractions of the schedule", MANY),
        Flag("--lr-noise-pct", float, 0.67, "limit of the relative noise of --lr-noise"),
        Flag("--lr-noise-std", float, 1.0, "standard deviation of --lr-noise"),
        Flag("--lr-cycle-mul", float, 1.0, "factor between the lengths of successive learning rate cycles"),
        Flag("--lr-cycle-decay", float, 0.5, "factor between the peaks of successive learning rate cycles"),
        Flag("--lr-cycle-limit", int, 1, "number of learning rate cycles"),
        Flag("--lr-k-decay", float, 1.0, "k of the k-decay variant of the cosine and poly schedules"),
        Flag("--warmup-lr", float, 1e-5, "learning rate at the start of the warm-up"),
        Flag("--min-lr", float, 0, "lowest learning rate of the schedule"),
        Flag("--warmup-epochs", int, 5, "number of warm-up epochs"),
        Flag("--warmup-prefix", bool, False, "add the warm-up before the schedule instead of including it"),
        Flag("--cooldown-epochs", int, 0, "number of epochs at the lowest learning rate after the schedule"),
        Flag("--decay-milestones", int, [90, 180, 270], "epochs at which the multistep schedule decays", MANY),
        Flag("--decay-epochs", float, 90, "number of epochs between decays of the step schedule"),
        Flag("--dr --decay-rate", float, 0.1, "factor of each learning rate decay"),
    ),
    "augmentation": (
        Flag("--allow-grid-breaking", bool, False, "permit augmentation that cuts, mirrors or warps the grid of tiles"),
        Flag("--no-aug", bool, False, "turn off all augmentation"),
        Flag(
            "--train-crop-mode", str, None, "type of the random crop in training", {"choices": ("rrc", "rkrc", "rkrr")}
        ),
        Flag("--scale", float, [0.08, 1.0], "smallest and largest area of the random crop, as fractions", MANY),
        Flag("--ratio", float, [3 / 4, 4 / 3], "smallest and largest aspect ratio of the random crop", MANY),
        Flag("--train-interpolation", str, "random", "interpolation for resizing training images"),
        Flag("--hflip", float, 0.5, "probability of a horizontal flip"),
        Flag("--vflip", float, 0.0, "probability of a vertical flip"),
        Flag("--color-jitter", float, 0.4, "strength of the color jitter (brightness, contrast, saturation)"),
        Flag("--color-jitter-prob", float, None, "probability of color jitter; by default it is always applied"),
        Flag("--grayscale-prob", float, None, "probability of a conversion to grayscale"),
        Flag("--gaussian-blur-prob", float, None, "probability of a Gaussian blur"),
        Flag("--aa", str, None, "AutoAugment or RandAugment policy, such as rand-m9-mstd0.5"),
        Flag("--reprob", float, 0.0, "probability of random erasing"),
        Flag("--remode", str, "pixel", "content of an erased box", {"choices": ("const", "rand", "pixel")}),
        Flag("--recount", int, 1, "number of boxes that random erasing fills"),
        Flag("--mixup", float, 0.0, "alpha of mixup; 0 turns it off"),
        Flag("--cutmix", float, 0.0, "alpha of CutMix; 0 turns it off. On super images every tile gets the same box"),
        Flag(
            "--cutmix-minmax",
            float,
            None,
            "smallest and largest side of CutMix's box, as fractions; overrides --cutmix",
            MANY,
        ),
        Flag("--mixup-prob", float, 1.0, "probability that mixup or CutMix is applied"),
        Flag("--mixup-switch-prob", float, 0.5, "probability of CutMix rather than mixup when both are on"),
        Flag(
            "--mixup-mode",
            str,
            "batch",
            "draw the parameters of mixup and CutMix once per batch, pair or element (half: pairs become one image)",
            {"choices": ("batch", "pair", "elem", "half")},
        ),
        Flag("--mixup-off-epoch", int, 0, "epoch from which mixup and CutMix are turned off; 0: never"),
    ),
    "loss": (
        Flag("--smoothing", float, 0.1, "label smoothing"),
        Flag("--bce-loss", bool, False, "use binary cross-entropy"),
        Flag("--bce-sum", bool, False, "sum binary cross-entropy over the classes instead of averaging"),
        Flag("--bce-target-thresh", float, None, "binary cross-entropy: targets above this become 1, others 0"),
        Flag("--bce-pos-weight", float, None, "binary cross-entropy: weight of the positive class"),
    ),
    "average of the weights": (
        Flag("--model-ema", bool, False, "keep an exponential moving average (EMA) of the weights, and validate it"),
        Flag("--model-ema-force-cpu", bool, False, "keep the EMA in CPU memory, and validate the plain weights"),
        Flag("--model-ema-decay", float, 0.9998, "decay of the EMA"),
        Flag("--model-ema-warmup", bool, False, "start with a smaller decay of the EMA, and increase it"),
    ),
    "experiment": (
        Flag("--output", str, "", "directory of all experiments (default: output/train)"),
        Flag("--experiment", str, "", "name of the experiment and of its directory (default: date and model)"),
        Flag("--resume", str, "", "checkpoint to resume from; auto: the experiment's last checkpoint, if it exists"),
        Flag("--no-resume-opt", bool, False, "do not restore the optimizer's state"),
        Flag("--seed", int, 42, "random seed"),
        Flag("--log-interval", int, 50, "number of updates between two log lines"),
        Flag("--checkpoint-hist", int, 10, "number of best checkpoints to keep"),
        Flag(
            "--eval-metric",
            str,
            "top1",
            "metric that decides which checkpoint is best; map (mean average precision) is for multi-label data",
            {"choices": ("top1", "top5", "map", "loss")},
        ),
        Flag("--log-tensorboard", bool, False, "also write TensorBoard events (needs the tensorboard package)"),
    ),
}
FLAGS = tuple(flag for flags in GROUPS.values() for flag in flags)
DEFAULTS = {flag.dest: flag.default for flag in FLAGS}


def cuts(args: argparse.Namespace) -> bool:
    """Whether the flags ask for CutMix."""
    return args.cutmix > 0 or args.cutmix_minmax is not None


def check_mean_std(args: argparse.Namespace, *, channels: int) -> None:
    """Raise ValueError for a ``--mean`` or ``--std`` that is out of range, or does not fit the number of channels."""
    for name in ("mean", "std"):
        values = getattr(args, name)
        if values is not None and len(values) not in (1, channels):
            raise ValueError(f"--{name} {values}: one number or {channels}, one for each channel")
        if values is not None and not all(0 <= value <= 1 for value in values):
            raise ValueError(f"--{name} {values}: must be from 0 to 1; divide values of 8-bit pixels by 255")
    if args.std is not None and min(args.std) <= 0:
        raise ValueError(f"--std {args.std}: must be above 0")


def check_values(args: argparse.Namespace) -> None:
    """Raise ValueError for numbers that are out of range, and for flags that need another flag."""
    least = {"batch_size": 1, "grad_accum_steps": 1, "log_interval": 1, "checkpoint_hist": 1, "shuffle_size": 1}
    least |= {"workers": 0, "epochs": 1, "validation_batch_size": 1, "num_classes": 1}
    for name, lowest in least.items():
        value = getattr(args, name)
        if value is not None and value < lowest:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be at least {lowest}")
    for name in ("scale", "ratio", "cutmix_minmax"):
        value = getattr(args, name)
        if value is not None and len(value) != 2:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be two numbers")
    check_mean_std(args, channels=args.input_size[0] if args.input_size else 3)
    if (args.mixup > 0 or cuts(args)) and args.batch_size % 2:
        raise ValueError(
            f"--batch-size {args.batch_size}: mixup and CutMix mix pairs of samples, so it must be even; give "
            f"{args.batch_size + 1}, or leave --mixup and --cutmix out"
        )
    if args.pretrained_path and not args.pretrained:
        raise ValueError(f"--pretrained-path {args.pretrained_path} has no effect without --pretrained: give both")
    # A resumed run does not read these files, which may no longer exist.
    for name in () if args.resume else ("pretrained_path", "initial_checkpoint"):
        if getattr(args, name) and not Path(getattr(args, name)).is_file():
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: no such file")
    if args.extra_depthwise and not args.extra_kernels:
        raise ValueError("--extra-depthwise has no effect without --extra-kernels")
