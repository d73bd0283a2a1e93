"""Worked solutions by rule: each line true, each in its order, the last one the answer."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Failure, Unteachable
from redink.problems import load_problems, worked


def steps(solution: str) -> list[str]:
    """The annotations of a solution, one a line."""
    return [line[line.index("<<") + 2 : line.index(">>")] for line in solution.splitlines()]


def test_a_line_has_the_form_of_gsm8k() -> None:
    assert str(worked.Equation(14, "+", 27)) == "14 + 27 = <<14+27=41>>41"
    assert str(worked.Equation(3, "*", 8, "spider")) == "spider: 3 * 8 = <<3*8=24>>24"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("57 + 87 + 70", ["57+87=144", "144+70=214"]),
        ("205 - 838 + 505", ["205-838=-633", "-633+505=-128"]),
        ("2 * 3 * 4", ["2*3=6", "6*4=24"]),
        ("10 - 2 * 3", ["2*3=6", "10-6=4"]),
        ("478 / 1 + -682", ["478/1=478", "478+-682=-204"]),
        ("8 / 4 / 2", ["8/4=2", "2/2=1"]),
        (
            "( ( -9 - 6 ) - -( -3 * 4 ) ) * 2 / 2",
            ["-9-6=-15", "-3*4=-12", "0--12=12", "-15-12=-27", "-27*2=-54", "-54/2=-27"],
        ),
        ("-(7)*2", ["0-7=-7", "-7*2=-14"]),
        ("5-3", ["5-3=2"]),
        ("5--3", ["5--3=8"]),
        ("7", ["7=7"]),
    ],
)
def test_expression_by_hand(text: str, expected: list[str]) -> None:
    found = worked.expression(text)
    assert steps(found.solution) == expected
    assert found.answer == expected[-1].partition("=")[2]


@pytest.mark.parametrize("text", ["7 / 2", "-7 / 2", "6 / ( 3 - 3 )"])
def test_inexact_division_is_unteachable(text: str) -> None:
    with pytest.raises(Unteachable) as caught:
        worked.expression(text)
    assert caught.value.reason == "inexact_division"


Tree = tuple[str, Fraction]


def combine(pair: tuple[Tree, str, Tree]) -> Tree:
    (left, x), sign, (right, y) = pair
    return f"({left} {sign} {right})", {"+": x + y, "-": x - y, "*": x * y}[sign]


def leaf(number: int) -> Tree:
    return str(number), Fraction(number)


trees = st.recursive(
    st.integers(-99, 99).map(leaf),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(combine)
        | inner.map(lambda tree: (f"-({tree[0]})", -tree[1]))
    ),
    max_leaves=8,
)


@given(trees)
def test_expression_agrees_with_its_tree(tree: Tree) -> None:
    text, value = tree
    assert Fraction(worked.expression(text).answer) == value


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6), st.data())
def test_precedence_without_brackets(numbers: list[int], data: st.DataObject) -> None:
    """A chain of + and * is the sum of the products between its plus signs."""
    signs = [data.draw(st.sampled_from("+*")) for _ in numbers[1:]]
    products = [numbers[0]]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            products[-1] *= number
        else:
            products.append(number)
    text = str(numbers[0]) + "".join(f" {sign} {n}" for sign, n in zip(signs, numbers[1:], strict=True))
    found = worked.expression(text)
    assert found.answer == str(sum(products))
    assert len(found.solution.splitlines()) == max(1, len(signs))


def test_legs_by_hand() -> None:
    found = worked.leg_count({"spider": 3, "snake": 8, "dog": 2}, {"spider": 8, "snake": 0, "dog": 4})
    assert found.solution.splitlines() == [
        "spider: 3 * 8 = <<3*8=24>>24",
        "snake: 8 * 0 = <<8*0=0>>0",
        "dog: 2 * 4 = <<2*4=8>>8",
        "24 + 0 = <<24+0=24>>24",
        "24 + 8 = <<24+8=32>>32",
    ]
    assert found.answer == "32"
    assert worked.leg_count({"dog": 5}, {"dog": 4}) == worked.Worked("dog: 5 * 4 = <<5*4=20>>20", "20")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20*h + 65 = 1485", ["1485-65=1420", "1420/20=71"]),
        ("34*z - 1190 = 2040", ["2040+1190=3230", "3230/34=95"]),
        ("65 - 20*h = -1355", ["-1355-65=-1420", "-1420/-20=71"]),
        ("405*h = 24705", ["24705/405=61"]),
        ("x + 5 = 9", ["9-5=4"]),
        ("5 - x = 1", ["1-5=-4", "-4/-1=4"]),
        ("-x = -4", ["-4/-1=4"]),
        ("-3*x - 2 = -14", ["-14+2=-12", "-12/-3=4"]),
        ("x = 4", ["4=4"]),
    ],
)
def test_linear_equation_by_hand(text: str, expected: list[str]) -> None:
    found = worked.linear_equation(text)
    assert steps(found.solution) == expected
    assert found.answer == expected[-1].partition("=")[2]


@pytest.mark.parametrize("text", ["0 = 0", "5 = 5", "x**2 = 4", "2*(x + 1) = 4", "x - x = 0"])
def test_what_is_not_linear_is_unteachable(text: str) -> None:
    with pytest.raises(Unteachable, match="not_linear"):
        worked.linear_equation(text)


def test_least_common_multiple_by_hand() -> None:
    found = worked.least_common_multiple([4, 6, 10])
    assert found.solution.splitlines() == [
        "gcd of 4 and 6: 4 / 2 = <<4/2=2>>2",
        "2 * 6 = <<2*6=12>>12",
        "gcd of 12 and 10: 12 / 2 = <<12/2=6>>6",
        "6 * 10 = <<6*10=60>>60",
    ]
    assert found.answer == "60"


def test_last_angle_by_hand() -> None:
    found = worked.last_angle(4, [90, 80, 70])
    assert steps(found.solution) == ["4-2=2", "2*180=360", "90+80=170", "170+70=240", "360-240=120"]
    assert found.answer == "120"


@pytest.mark.parametrize(
    ("lines", "operations", "expected"),
    [
        (["5+9=14", "14-2=12", "12+3=15"], 3, ["5+9-2+3=15"]),
        (["5+9=14", "14-2=12", "12+3=15"], 2, ["5+9-2=12", "12+3=15"]),
        (["5+9=14", "14-2=12", "12+3=15"], 1, ["5+9=14", "14-2=12", "12+3=15"]),
        (["4*5=20", "20-3=17", "17+9=26"], 3, ["4*5=20", "20-3+9=26"]),  # products stay apart
        (["8-2=6", "8-6=2", "6+1=7"], 3, ["8-2=6", "8-6=2", "6+1=7"]),  # no line goes on from the one before
        (["8-2=6", "6+5=11", "8+6=14"], 3, ["8-2=6", "6+5=11", "8+6=14"]),  # 6 is used again
    ],
)
def test_sums_that_go_on_are_joined(lines: list[str], operations: int, expected: list[str]) -> None:
    def written(line: str) -> str:
        left, _, value = line.partition("=")
        return f"{' '.join(re.findall(r'[0-9]+|[-+*]', left))} = <<{line}>>{value}"

    solution = "\n".join(map(written, lines))
    assert worked.in_longer_lines(solution, operations).splitlines() == list(map(written, expected))


@pytest.mark.parametrize("source", ["stories", "reasoning_gym:chain_sum?min_terms=2&max_terms=6&within=0..199"])
@pytest.mark.parametrize("operations", [2, 3, 5])
def test_joined_lines_hold_and_come_to_the_same(source: str, operations: int) -> None:
    mark = "&" if "?" in source else "?"
    plain = load_problems(source, limit=200, seed=5)
    joined = load_problems(f"{source}{mark}operations={operations}", limit=200, seed=5)
    shorter = 0
    for one, other in zip(plain, joined, strict=True):
        assert one == other.model_copy(update={"solution": one.solution})
        equations = re.findall(r"([-+*0-9 ]+) = <<([^<>]+)=\d+>>(\d+)", other.solution or "")
        assert all(eval(left) == eval(inside) == int(value) for left, inside, value in equations)
        assert all(len(re.findall(r"[-+*]", left)) <= operations for left, _, _ in equations)
        assert equations[-1][2] == one.answer
        numbers = lambda text: sorted(re.findall(r" [-+*] \d+", text or ""))  # noqa: E731
        assert numbers(one.solution) == numbers(other.solution)
        shorter += len(equations) < (one.solution or "").count("<<")
    assert shorter > 100


def test_stories_take_no_other_option() -> None:
    with pytest.raises(Failure, match="They take operations alone"):
        load_problems("stories:ledger?within=0..9")
