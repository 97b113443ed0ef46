"""A command line is taken apart into loadstone's options, Locust's, and the scenario's own, which come first."""

from __future__ import annotations

import pytest

from loadstone.errors import UsageError
from loadstone.settings.command_line import Division, Given, OptionForm, divide

OWN = (OptionForm(("-u", "--users")), OptionForm(("--seed", "--loadstone-seed")), OptionForm(("--objective",), "+"))
LOCUST = (OptionForm(("-u", "--users")), OptionForm(("--csv",)), OptionForm(("--headless",), 0))


def divided(*words: str, scenario: tuple[OptionForm, ...] = ()) -> Division:
    return divide(words, OWN, LOCUST, scenario)


def test_an_option_that_locust_has_too_is_loadstones():
    found = divided("-u5", "--users=6", "--csv", "out", "Buyer")
    assert found.own == ("-u", "5", "--users", "6")
    assert found.passed == (Given("--csv", ("--csv", "out")),)
    assert found.rest == ("Buyer",)


def test_an_option_that_the_scenario_declares_is_the_scenarios_with_its_values():
    found = divided("--seed", "a", "b", "--users", "3", scenario=(OptionForm(("--seed",), "*"),))
    assert found.passed == (Given("--seed", ("--seed", "a", "b")),)
    assert (found.own, found.yielded) == (("--users", "3"), ("--seed",))


def test_a_flag_of_the_scenario_takes_no_value_although_loadstones_option_does():
    found = divided("--seed", "Buyer", scenario=(OptionForm(("--seed",), 0),))
    assert (found.passed, found.rest) == ((Given("--seed", ("--seed",)),), ("Buyer",))


def test_loadstones_spelling_with_its_prefix_stays_loadstones():
    found = divided("--loadstone-seed", "7", "--seed", "8", scenario=(OptionForm(("--seed",)),))
    assert (found.own, found.passed) == (("--loadstone-seed", "7"), (Given("--seed", ("--seed", "8")),))


@pytest.mark.parametrize(("words", "name"), [(("--cs", "x"), "--csv"), (("--head",), "--headless")])
def test_an_option_of_locust_may_be_abbreviated(words: tuple[str, ...], name: str):
    assert [given.name for given in divided(*words).passed] == [name]


def test_an_abbreviation_of_an_option_that_both_have_is_loadstones():
    assert divided("--use", "4").own == ("--users", "4")


def test_an_option_of_loadstone_may_not_be_abbreviated():
    assert divided("--objec", "p95<1s") == Division((), (), ("--objec", "p95<1s"), ())


@pytest.mark.parametrize("words", [("--csv=-x",), ("-p-x",)])
def test_a_value_that_looks_like_an_option_stays_a_value(words: tuple[str, ...]):
    found = divided(*words, scenario=(OptionForm(("-p",)),))
    assert found.passed[0].words == words


def test_the_only_value_of_a_list_may_look_like_an_option_too():
    found = divided("--one=-x", scenario=(OptionForm(("--one",), 1),))
    assert found.passed[0].words == ("--one=-x",)
    assert divided("--one=x", scenario=(OptionForm(("--one",), 1),)).passed[0].words == ("--one", "x")


def test_a_long_option_with_one_dash_is_not_taken_for_a_short_one():
    found = divided("-users", "many", scenario=(OptionForm(("-users",)),))
    assert (found.own, found.passed) == ((), (Given("-users", ("-users", "many")),))


def test_an_option_without_its_value_is_refused():
    with pytest.raises(UsageError, match="--csv: expected one argument"):
        divided("--csv")
