"""`launch.py cost`."""

from senet_jax.commands.command_line import main


def table(words, capsys):
    main(["cost", *words.split()])
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_stage_and_the_network_without_squeeze_and_excitation(capsys):
    lines = table("--model=se_resnet20_cifar", capsys)
    assert " ".join(lines[0]) == "se_resnet20_cifar, images of 32 x 32 pixels"
    assert [line[0] for line in lines[4:10]] == ["stem", "stage2", "stage3", "stage4", "head", "total"]
    assert lines[4][:4] == ["stem", "464", "442,368", "16,384"]
    assert lines[4][5:] == ["-", "-", "-", "-"]
    assert lines[5][:4] == ["stage2", "14,163", "14,155,872", "98,355"]
    assert lines[5][5:8] == ["1.04%", "0.00%", "0.05%"]
    assert lines[9][:4] == ["total", "274,847", "40,815,200", "201,071"]
    assert lines[10][:5] == ["without", "SE", "272,474", "40,813,184", "200,714"]
    assert lines[11][:5] == ["SE", "adds", "2,373", "2,016", "357"]
    assert lines[12][:3] == ["+0.87%", "+0.00%", "+0.18%"]


def test_options(capsys):
    lines = table("--model=se_resnet20_cifar --ratio=8 --image_size=16 --num_classes=100 --depth=3", capsys)
    head, block, se = (next(line for line in lines if line[:1] == [name]) for name in ("head", "block1", "se"))
    assert head[:4] == ["head", "6,500", "6,400", "100"]
    assert block[:4] == ["block1", "4,754", "1,179,712", "8,210"]
    assert se[:4] == ["se", "82", "64", "18"]
    assert se[5:] == ["100.00%"] * 4


def test_a_plain_network_has_no_columns_of_squeeze_and_excitation(capsys):
    lines = table("--model=resnet20_cifar", capsys)
    assert lines[8][:4] == ["total", "272,474", "40,813,184", "200,714"]
    assert {len(line) for line in lines[2:9]} == {4, 5}
    assert lines[9] == []
