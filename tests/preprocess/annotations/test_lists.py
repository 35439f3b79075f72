"""Plain lists and CSV as people have them: columns, separators, headers, and labels that are numbers."""

from pathlib import Path

import pytest
from conversion import CONFIG
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.columns import parse_columns
from preprocess.annotations.dataset import Listing
from preprocess.annotations.named_csv import NamedCsv
from preprocess.annotations.numbered import MAX_CLASSES
from preprocess.annotations.plain_list import PlainList
from preprocess.config.schema import config_from
from preprocess.run.overview import overview_lines
from preprocess.run.pipeline import plan, read_dataset

ROWS = {
    "path label": (("a b/1.mp4", "1"), ("c.mp4", "0")),
    "path n label": (("a b/1.mp4", "30", "1"), ("c.mp4", "9", "0")),
    "path start end label": (("a b/1.mp4", "3", "30", "1"), ("c.mp4", "1", "9", "0")),
}
SEGMENTS = {"path label": (None, None), "path n label": (0, 30), "path start end label": (2, 30)}
HEADERS = {
    "path label": ("video_path", "label"),
    "path n label": ("Path", "Total Frames", "Class"),
    "path start end label": ("# file", "start_frame", "end_frame", "label"),
}


def read(source: Path, text: str, reader=PlainList, **options) -> Listing:
    (source / "list.txt").write_bytes(text.encode())
    return reader(lists={"train": "list.txt"}, **options).read(source)


def printed(source: Path, **annotations) -> str:
    config = config_from({**CONFIG, "annotations": annotations}, "test")
    return "\n".join(overview_lines(read_dataset(config, source), config, source))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("given_separator", [True, False])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", [",", ";", "\t", " ", " , ", "; "])
@pytest.mark.parametrize("columns", ROWS)
def test_the_usual_lists_are_read(tmp_path, columns, separator, header, given_separator, end):
    rows = [(f'"{path}"' if separator == " " else path, *rest) for path, *rest in ROWS[columns]]
    if header:
        words = HEADERS[columns]
        rows = [[word.replace(" ", "_") for word in words] if separator == " " else words, *rows]
    if header and separator == " " and columns == "path start end label":
        rows[0] = ("file", *rows[0][1:])
    text = "\ufeff" + end.join(separator.join(row) for row in rows) + end
    listing = read(
        tmp_path, text, columns=columns, **({"separator": separator.strip(" ") or " "} if given_separator else {})
    )
    first, second = listing.splits["train"]
    assert (first.path, second.path) == (tmp_path / "a b/1.mp4", tmp_path / "c.mp4")
    assert (first.labels, second.labels) == ((1,), (0,))
    assert (first.start_frame, first.end_frame) == SEGMENTS[columns]
    assert listing.entries["train"] == 2 + header
    assert [(kind.kind, kind.count) for kind in listing.left_out["train"]] == [("header lines", 1)] * header


def test_blanks_are_any_number_of_spaces_and_tabs(tmp_path):
    listing = read(tmp_path, "  a.mp4 \t 30   1  \n\nb.mp4\t9 0\n", columns="path n label")
    assert [(row.path.name, row.end_frame, row.labels) for row in listing.splits["train"]] == [
        ("a.mp4", 30, (1,)),
        ("b.mp4", 9, (0,)),
    ]


def test_further_labels_stand_behind_the_first(tmp_path):
    listing = read(tmp_path, "a.mp4,2,0\nb.mp4,1\n", columns="path label")
    assert [row.labels for row in listing.splits["train"]] == [(2, 0), (1,)]


def test_a_header_is_reported(tmp_path):
    for name in ("train.txt", "val.txt"):
        (tmp_path / name).write_text(f"path label\n{name}.mp4 0\n", encoding="utf-8")
        (tmp_path / f"{name}.mp4").touch()
    text = printed(tmp_path, format="list", columns="path label")
    assert "train: 1 videos, 0 missing, 1 left out, of 2 entries" in text
    assert f"left out: 1 header lines, such as {tmp_path / 'train.txt'}:1: 'path label'" in text


@pytest.mark.parametrize(
    ("text", "columns", "parts"),
    [
        ("a.mp4 run\nb.mp4 1\n", "path label", ("list.txt:1: 'a.mp4 run'", "a label is 'run'", "format: csv")),
        ("path label\n", "path label", ("list.txt", "has a header and no row", "<path> <label>")),
        ("path label\na.mp4 1\n", "path start end label", ("list.txt:1", "set annotations.columns: path label")),
        ("a.mp4;9;1\n", "path start end label", ("list.txt:1", "set annotations.columns: path n label")),
        ("a.mp4 1\npath label\n", "path label", ("list.txt:2: 'path label'", "a label is 'label'")),
        ("a.mp4 0 1\n", "path n label", ("list.txt:1: 'a.mp4 0 1'", "the number of frames is 0")),
        (
            "path start end label\na start 2 1\n",
            "path start end label",
            ("list.txt:2: 'a start 2 1'", "start is 'start'"),
        ),
        ("a.mp4 1.0\n", "path label", ("list.txt:1: 'a.mp4 1.0'", "a label is '1.0'")),
        ("a.mp4,0\n,1\n", "path label", ("list.txt:2", "the path is empty")),
        ("a.mp4,1\na.mp4,1\n", "path label", ("list.txt:2: 'a.mp4' is listed already, at", "list.txt:1")),
        ("a.mp4,1\n./a.mp4,0\n", "path label", ("list.txt:2", "a.mp4 is listed already, at", "list.txt:1")),
        (f"a.mp4 {MAX_CLASSES}\n", "path label", (f"label {MAX_CLASSES} would make {MAX_CLASSES + 1} classes",)),
    ],
)
def test_a_bad_row_is_shown_whole(tmp_path, text, columns, parts):
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    (tmp_path / "a.mp4").touch()
    config = {**CONFIG, "annotations": {"format": "list", "lists": {"train": "list.txt"}, "columns": columns}}
    settings = config_from({**config, "splits": {"train": {"mode": "train"}}}, "test")
    with pytest.raises(ValueError, match="list") as caught:
        read_dataset(settings, tmp_path)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    "columns", ["path", "label", "path label label", "label path", "path start label", "video label"]
)
def test_columns_that_make_no_list_are_refused(columns):
    with pytest.raises(ValueError, match="must be one of 'path label'"):
        parse_columns(columns)


@pytest.mark.parametrize(
    "content", ["a.mp4 1\n".encode("utf-16"), b"a\x00.mp4 1\n", "caf\u00e9.mp4 1\n".encode("latin-1")]
)
def test_a_list_that_is_no_text_in_utf_8_is_refused(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"list.txt.*UTF-8"):
        PlainList(lists={"train": "list.txt"}, columns="path label").read(tmp_path)


def write_lists(source: Path, *labels: int) -> None:
    for name in ("train.txt", "validation.txt"):
        (source / name).write_text("".join(f"{name}{label}.mp4 {label}\n" for label in labels), encoding="utf-8")
        for label in labels:
            (source / f"{name}{label}.mp4").touch()


def test_labels_from_1_are_reported_with_the_setting_that_helps(tmp_path):
    write_lists(tmp_path, 1, 2, 3)
    text = printed(tmp_path, format="list", columns="path label")
    assert "1 of 4 classes have no training video, so no model learns them: '0' (no video at all)" in text
    assert "labels begin at 1" in text
    assert "set annotations.first_label: 1" in text
    assert "note" not in printed(tmp_path, format="list", columns="path label", first_label=1)


def test_with_first_label_classes_keep_the_numbers_as_names(tmp_path):
    listing = read(tmp_path, "a 1\nb 3\n", columns="path label", first_label=1)
    assert listing.class_names == ("1", "2", "3")
    assert [row.labels for row in listing.splits["train"]] == [(0,), (2,)]
    with pytest.raises(ValueError, match="label 0, expected 1 or more"):
        read(tmp_path, "a 0\n", columns="path label", first_label=1)


def test_labels_with_gaps_are_reported(tmp_path):
    write_lists(tmp_path, 0, 10, 20)
    text = printed(tmp_path, format="list", columns="path label")
    assert "18 of 21 classes have no training video" in text
    assert "'1' (no video at all), '2' (no video at all)" in text
    assert "and 8 more" in text
    assert "3 different labels (0, 10, 20) make 21 classes" in text


@pytest.mark.parametrize("reader", [PlainList, NamedCsv])
def test_a_label_beyond_the_file_of_classes_is_refused_with_a_hint(tmp_path, reader):
    (tmp_path / "names.txt").write_text("run\njump\n", encoding="utf-8")
    options = {"columns": "path label", "separator": ","} if reader is PlainList else {}
    with pytest.raises(ValueError, match=r"label 2, expected 0 to 1, the classes of the file; .*first_label: 1"):
        read(tmp_path, "path,label\na,1\nb,2\n", reader, classes="names.txt", **options)
    listing = read(tmp_path, "path,label\na,1\nb,2\n", reader, classes="names.txt", first_label=1, **options)
    assert [row.labels for row in listing.splits["train"]] == [(0,), (1,)]
    assert listing.class_names == ("run", "jump")


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.randoms())
def test_csv_and_list_give_whole_numbers_the_same_classes(tmp_path_factory, labels, rng):
    folder = tmp_path_factory.getbasetemp()
    rows = [f"{number}.mp4,{label}" for number, label in enumerate(labels)]
    rng.shuffle(rows)
    by_csv = read(folder, "\n".join(["path,label", *rows]), NamedCsv)
    by_list = read(folder, "\n".join(rows), columns="path label")
    assert by_csv.class_names == by_list.class_names == tuple(str(number) for number in range(max(labels) + 1))
    expected = [int(row.rpartition(",")[2]) for row in rows]
    assert [row.labels[0] for row in by_csv.splits["train"]] == expected
    assert [row.labels[0] for row in by_list.splits["train"]] == expected


def test_numbers_that_name_classes_in_a_file_are_looked_up_there(tmp_path):
    (tmp_path / "ids.txt").write_text("900\n17\n", encoding="utf-8")
    listing = read(tmp_path, "path,label\na,17\nb,900\n", NamedCsv, classes="ids.txt")
    assert listing.class_names == ("900", "17")
    assert [row.labels for row in listing.splits["train"]] == [(1,), (0,)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,label\na,3\nb,-1\n", ("list.txt:3", "label -1", "without a label")),
        ("path,label,path\na,3,b\n", ("list.txt:1", "column 'path' appears twice")),
        ("File,Label\na,3\n", ("list.txt:1", "no column path, label", "annotations.path_column")),
        ("path,label\na,3.0\nb,4.0\n", ("list.txt:2", "'3.0'", "write 3")),
        ("path,label\na,3\nb,1700000000\n", ("list.txt:3", "1700000001 classes", "annotations.classes")),
    ],
)
def test_csv_labels_that_are_no_class_numbers_are_refused(tmp_path, text, parts):
    with pytest.raises(ValueError, match="list") as caught:
        read(tmp_path, text, NamedCsv)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


def test_names_and_numbers_together_are_names_and_that_is_reported(tmp_path):
    listing = read(tmp_path, "path,label\na,10\nb,9\nc,run\n", NamedCsv)
    assert listing.class_names == ("10", "9", "run")
    assert any("2 of 3 different labels are numbers, such as '10' at" in note for note in listing.notes)


def test_csv_fields_are_stripped_alike(tmp_path):
    listing = read(tmp_path, 'path , label\n a.mp4 , run \n"b.mp4 ",run\n', NamedCsv)
    assert [row.path.name for row in listing.splits["train"]] == ["a.mp4", "b.mp4"]
    assert listing.class_names == ("run",)


def test_a_csv_with_another_separator_says_which_setting_helps(tmp_path):
    with pytest.raises(ValueError, match=r"semicolons, not commas: set annotations\.separator: ';'"):
        read(tmp_path, "path;label\na.mp4;run\n", NamedCsv)


def test_lists_of_no_configured_split_are_not_read_and_make_no_classes(tmp_path):
    for name in ("train", "val"):
        (tmp_path / f"{name}.csv").write_text(f"path,label\n{name}.mp4,run\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("path,label\nt.mp4,unknown\n", encoding="utf-8")
    lists = {name: f"{name}.csv" for name in ("train", "val", "test")}
    config = config_from({**CONFIG, "annotations": {"format": "csv", "lists": lists}}, "test")
    dataset = read_dataset(config, tmp_path)
    assert dataset.class_names == ("run",)
    assert list(dataset.splits) == ["train", "validation"]
    assert any("test are not read, since no configured split" in note for note in dataset.notes)


def test_paths_with_backslashes_get_a_hint(tmp_path):
    write_lists(tmp_path, 0)
    (tmp_path / "train.txt").write_text("train.txt0.mp4 0\nclips\\run\\1.mp4 0\n", encoding="utf-8")
    assert "1.mp4 (listed at" in (text := printed(tmp_path, format="list", columns="path label"))
    assert "the path has a backslash, as on Windows; write / instead" in text
    (tmp_path / "train.txt").write_text("clips\\run\\1.mp4 0\n", encoding="utf-8")
    config = config_from({**CONFIG, "annotations": {"format": "list", "columns": "path label"}}, "test")
    with pytest.raises(ValueError, match=r"1 are listed.*backslash"):
        plan(read_dataset(config, tmp_path), config)


@pytest.mark.parametrize(
    ("listed", "there", "hint"),
    [
        ("caf\u00e9.mp4", "cafe\u0301.mp4", "form of its accents"),
        ("a.mp4", "A.MP4", "there is 'A.MP4'"),
        ("clip", "clip.mp4", "there is 'clip.mp4'"),
        ("clip.mp4", "clip.avi", "there is 'clip.avi'"),
        ("no/clip.mp4", "clip.mp4", "its folder cannot be read: No such file or directory"),
        ("a" * 300 + ".mp4", "clip.mp4", "aaaa.mp4 (listed at"),
        ("a" * 300 + "/a.mp4", "clip.mp4", "its folder cannot be read: File name too long"),
        ("https://host/clip.mp4", "clip.mp4", "--videos-url"),
        ("loop/clip.mp4", "clip.mp4", "its folder cannot be read: Too many levels of symbolic links"),
    ],
)
def test_what_stands_in_the_place_of_a_missing_file_is_reported(tmp_path, listed, there, hint):
    write_lists(tmp_path, 0)
    (tmp_path / "train.txt").write_text(f"train.txt0.mp4,0\n{listed},0\n", encoding="utf-8")
    (tmp_path / there).touch()
    (tmp_path / "loop").symlink_to("loop")
    assert hint in printed(tmp_path, format="list", columns="path label")
