"""The flags of ``train_image.py``: timm's names, types and defaults, but for the few that a comment marks as ours."""

import argparse
from pathlib import Path

from timm.utils import ParseKwargs

from shards.epochs import CYCLE
from shards.timm_reader import TILE_ORDERS
from training.command_line import Flag
from training.cutmix import cuts

MANY = {"nargs": "+"}
FLAGS = (
    Flag("--data-dir", str, None, "directory of the data set"),
    Flag("--dataset", str, "", "timm's TYPE/NAME; empty: super images by their manifest, else a folder of classes"),
    Flag("--train-split", str, "train", "split to train on"),
    Flag("--val-split", str, "validation", "split to validate on"),
    # ours: what an epoch reads of super images
    Flag("--views", str, CYCLE, "views of each video that an epoch reads: cycle (view e % V), all, or one's number"),
    Flag(
        "--tile-order",
        str,
        TILE_ORDERS[0],
        "order of the tiles in training: as stored, or a new random one for each sample in each epoch",
        {"choices": TILE_ORDERS},
    ),
    Flag("--class-map", str, "", "file of class names to indices, for timm's folders"),
    Flag("--shuffle-size", int, 256, "samples in each loader worker's shuffle buffer, for shards"),
    Flag("--allow-grid-breaking", bool, False, "permit augmentation that cuts, mirrors or warps a grid of tiles"),
    Flag("--model", str, "resnet50", "a model of timm"),
    Flag("--pretrained", bool, False, "start from timm's published weights"),
    Flag("--pretrained-path", str, None, "with --pretrained: from this file instead, less its classifier"),
    Flag("--initial-checkpoint", str, "", "start from these weights"),
    Flag("--resume", str, "", "go on from this checkpoint; auto: from the experiment's own last one, if there is one"),
    Flag("--no-resume-opt", bool, False, "resume the weights without the optimizer's state"),
    Flag("--num-classes", int, None, "number of classes; the model's own by default"),
    Flag("--gp", str, None, "global pooling: fast, avg, max, avgmax, ..."),
    Flag("--img-size", int, None, "side of a square input in pixels"),
    Flag("--input-size", int, None, "channels, height and width of the input", {"nargs": 3}),
    Flag("--crop-pct", float, None, "part of each side that validation's centre crop keeps"),
    Flag("--mean", float, None, "mean of the pixels, 0 to 1", MANY),
    Flag("--std", float, None, "standard deviation of the pixels, 0 to 1", MANY),
    Flag("--interpolation", str, "", "how validation resizes"),
    Flag("-b --batch-size", int, 128, "samples a step on each device"),
    Flag("-vb --validation-batch-size", int, None, "the same in validation"),
    Flag("--channels-last", bool, False, "channels-last memory layout"),
    Flag("--grad-accum-steps", int, 1, "steps whose gradients are added up for one update"),
    Flag("--grad-checkpointing", bool, False, "recompute activations to save memory"),
    Flag("--model-kwargs", str, {}, "KEY=VALUE ... passed to the model", {"nargs": "*", "action": ParseKwargs}),
    # ours: what super images ask of a Swin and of a ResNet
    Flag(
        "--window",
        str,
        None,
        "a Swin's windows in tokens: one, or one for each stage; global: the whole stage; square: its shorter side, "
        "not shifted, as in SIFAR's code",
        MANY,
    ),
    Flag("--extra-kernels", int, None, "residual blocks at the end of a ResNet, each with a kernel of this size", MANY),
    Flag("--extra-depthwise", bool, False, "a depthwise convolution in those blocks"),
    Flag("--torchcompile", str, None, "compile the model with this backend", {"nargs": "?", "const": "inductor"}),
    Flag("--device", str, None, "cpu, cuda, cuda:1, ...; cuda if there is one"),
    Flag("--amp", bool, False, "mixed precision"),
    Flag("--amp-dtype", str, "float16", "its lower precision", {"choices": ("float16", "bfloat16")}),
    Flag("--opt", str, "sgd", "optimizer"),
    Flag("--opt-eps", float, None, "its epsilon"),
    Flag("--opt-betas", float, None, "its betas", MANY),
    Flag("--momentum", float, 0.9, "its momentum"),
    Flag("--weight-decay", float, 2e-5, "weight decay"),
    Flag("--clip-grad", float, None, "limit of the gradients"),
    Flag("--clip-mode", str, "norm", "how they are limited", {"choices": ("norm", "value", "agc")}),
    Flag("--layer-decay", float, None, "factor of the learning rate from layer to layer"),
    Flag("--layer-decay-min-scale", float, 0, "lower bound of that factor's power"),
    Flag("--layer-decay-no-opt-scale", float, None, "layers whose factor is below are frozen"),
    Flag("--opt-kwargs", str, {}, "KEY=VALUE ... passed to the optimizer", {"nargs": "*", "action": ParseKwargs}),
    Flag("--sched", str, "cosine", "learning rate schedule"),
    Flag("--sched-on-updates", bool, False, "step the schedule each update, not each epoch"),
    Flag("--lr", float, None, "learning rate; otherwise computed from --lr-base"),
    Flag("--lr-base", float, 0.1, "learning rate for --lr-base-size samples an update"),
    Flag("--lr-base-size", int, 256, "samples an update that --lr-base is for"),
    Flag("--lr-base-scale", str, "", "how it scales; by optimizer if empty", {"choices": ("", "linear", "sqrt")}),
    Flag("--lr-noise", float, None, "parts of the schedule where noise begins and ends", MANY),
    Flag("--lr-noise-pct", float, 0.67, "limit of the noise"),
    Flag("--lr-noise-std", float, 1.0, "standard deviation of the noise"),
    Flag("--lr-cycle-mul", float, 1.0, "factor of a cycle's length to the next"),
    Flag("--lr-cycle-decay", float, 0.5, "factor of a cycle's rate to the next"),
    Flag("--lr-cycle-limit", int, 1, "number of cycles"),
    Flag("--lr-k-decay", float, 1.0, "k of k-decay, for cosine and poly"),
    Flag("--warmup-lr", float, 1e-5, "learning rate that the warm-up starts from"),
    Flag("--min-lr", float, 0, "lowest learning rate"),
    Flag("--epochs", int, 300, "epochs of the schedule"),
    Flag("--decay-milestones", int, [90, 180, 270], "epochs of decay, for multistep", MANY),
    Flag("--decay-epochs", float, 90, "epochs between decays, for step"),
    Flag("--warmup-epochs", int, 5, "epochs of warm-up"),
    Flag("--warmup-prefix", bool, False, "warm-up comes before the schedule, not out of it"),
    Flag("--cooldown-epochs", int, 0, "epochs at the lowest rate after the schedule"),
    Flag("--dr --decay-rate", float, 0.1, "factor of each decay"),
    Flag("--no-aug", bool, False, "no augmentation at all"),
    Flag("--train-crop-mode", str, None, "kind of random crop", {"choices": ("rrc", "rkrc", "rkrr")}),
    Flag("--scale", float, [0.08, 1.0], "area of the random crop", MANY),
    Flag("--ratio", float, [3 / 4, 4 / 3], "aspect ratio of the random crop", MANY),
    Flag("--hflip", float, 0.5, "probability of a mirrored image"),
    Flag("--vflip", float, 0.0, "probability of an image upside down"),
    Flag("--color-jitter", float, 0.4, "strength of brightness, contrast and saturation jitter"),
    Flag("--color-jitter-prob", float, None, "its probability; always if not given"),
    Flag("--grayscale-prob", float, None, "probability of a grey image"),
    Flag("--gaussian-blur-prob", float, None, "probability of a blurred image"),
    Flag("--aa", str, None, "AutoAugment or RandAugment policy"),
    Flag("--bce-loss", bool, False, "binary cross entropy"),
    Flag("--bce-sum", bool, False, "sum it over the classes"),
    Flag("--bce-target-thresh", float, None, "its targets above this are 1, the others 0"),
    Flag("--bce-pos-weight", float, None, "its weight of the positive class"),
    Flag("--reprob", float, 0.0, "probability of random erasing"),
    Flag("--remode", str, "pixel", "what is put there", {"choices": ("const", "rand", "pixel")}),
    Flag("--recount", int, 1, "boxes erased"),
    Flag("--mixup", float, 0.0, "alpha of mixup"),
    Flag("--cutmix", float, 0.0, "alpha of CutMix; of super images, the same box in every tile"),
    Flag("--cutmix-minmax", float, None, "smallest and largest part that CutMix cuts", MANY),
    Flag("--mixup-prob", float, 1.0, "probability of either"),
    Flag("--mixup-switch-prob", float, 0.5, "probability of CutMix where both are on"),
    Flag("--mixup-mode", str, "batch", "one draw for each", {"choices": ("batch", "pair", "elem", "half")}),
    Flag("--mixup-off-epoch", int, 0, "epoch from which both are off; 0: never"),
    Flag("--smoothing", float, 0.1, "label smoothing"),
    Flag("--train-interpolation", str, "random", "how training resizes"),
    Flag("--drop", float, 0.0, "dropout"),
    Flag("--drop-path", float, None, "drop path"),
    Flag("--sync-bn", bool, False, "batch norm statistics over all ranks"),
    Flag(
        "--dist-bn", str, "reduce", "how ranks agree on them after an epoch", {"choices": ("", "broadcast", "reduce")}
    ),
    Flag("--model-ema", bool, False, "keep an exponential moving average of the weights, and validate it"),
    Flag("--model-ema-force-cpu", bool, False, "keep it in main memory, and validate the plain weights"),
    Flag("--model-ema-decay", float, 0.9998, "its decay"),
    Flag("--model-ema-warmup", bool, False, "let its decay grow at first"),
    Flag("--seed", int, 42, "seed of all that is random"),
    Flag("--worker-seeding", str, "all", "generators seeded in loader workers", {"choices": ("all", "part")}),
    Flag("--log-interval", int, 50, "updates between two lines of the log"),
    Flag("--checkpoint-hist", int, 10, "number of best checkpoints kept"),
    Flag("-j --workers", int, 4, "loader processes; 0: load in this one"),
    Flag("--pin-mem", bool, False, "pinned memory for a faster way to the device"),
    Flag("--output", str, "", "directory of all experiments (./output/train)"),
    Flag("--experiment", str, "", "name of this one's directory; date and model by default"),
    Flag(
        "--eval-metric",
        str,
        "top1",
        "what the best checkpoint is best in; map, for several labels a sample",
        {"choices": ("top1", "top5", "map", "loss")},
    ),
    Flag("--log-tensorboard", bool, False, "also write TensorBoard events (needs the tensorboard package)"),
)
DEFAULTS = {flag.dest: flag.default for flag in FLAGS}


def check_mean_std(args: argparse.Namespace, *, channels: int) -> None:
    """ValueError for a ``--mean`` or ``--std`` that no images of so many channels have."""
    for name in ("mean", "std"):
        values = getattr(args, name)
        if values is not None and len(values) not in (1, channels):
            raise ValueError(f"--{name} {values}: one number or {channels}, one for each channel")
        if values is not None and not all(0 <= value <= 1 for value in values):
            raise ValueError(f"--{name} {values}: must be from 0 to 1; divide values of 8-bit pixels by 255")
    if args.std is not None and min(args.std) <= 0:
        raise ValueError(f"--std {args.std}: must be above 0")


def check_values(args: argparse.Namespace) -> None:
    """ValueError for numbers that no run can have."""
    least = {"batch_size": 1, "grad_accum_steps": 1, "log_interval": 1, "checkpoint_hist": 1, "shuffle_size": 1}
    least |= {"workers": 0, "epochs": 1, "validation_batch_size": 1, "num_classes": 1}
    for name, lowest in least.items():
        value = getattr(args, name)
        if value is not None and value < lowest:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be at least {lowest}")
    for name in ("scale", "ratio", "cutmix_minmax"):
        value = getattr(args, name)
        if value is not None and len(value) != 2:
            raise ValueError(f"--{name.replace('_', '-')} {value}: two numbers are needed")
    check_mean_std(args, channels=args.input_size[0] if args.input_size else 3)
    if (args.mixup > 0 or cuts(args)) and args.batch_size % 2:
        raise ValueError(
            f"--batch-size {args.batch_size}: mixup and CutMix mix pairs of samples, so it must be even; give "
            f"{args.batch_size + 1}, or leave --mixup and --cutmix out"
        )
    if args.pretrained_path and not args.pretrained:
        raise ValueError(f"--pretrained-path {args.pretrained_path} is read with --pretrained alone: give both")
    # A resumed run does not read them: they may be gone.
    for name in () if args.resume else ("pretrained_path", "initial_checkpoint"):
        if getattr(args, name) and not Path(getattr(args, name)).is_file():
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: no such file")
    if args.extra_depthwise and not args.extra_kernels:
        raise ValueError("--extra-depthwise does nothing without --extra-kernels")
