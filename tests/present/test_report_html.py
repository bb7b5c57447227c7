"""The page of `istio-mc report`: whole, safe, readable for everybody, at any number of clusters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Cause, Facts, Result, Scope, Severity, Target, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice, Command
from istio_mc.domain.istio.proxies import ProxyTrust, Serving
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.pki.certificates import new_intermediate
from istio_mc.domain.pki.pem import fingerprint
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.verify.verify import VerifyResult
from istio_mc.present.html.certificates import Shown, certificates, soonest
from istio_mc.present.html.markup import State, clipped, clipped_name, left, width
from istio_mc.present.html.page import STYLE, is_own_page, page
from istio_mc.present.html.timeline import timeline
from istio_mc.present.html.topology import links
from istio_mc.present.verify.faults import next_command, summary
from tests.support.leaves import workload_leaf
from tests.support.records import record
from tests.support.world import CLUSTERS, EC, MESH, World, root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime.now(UTC).replace(microsecond=0)  # the certificates of tests.support.world are made today
VOID = {"meta", "br", "hr", "link"}
HOSTILE = "<script>alert(1)</script>\"'onload=x&amp;</style></svg>"


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, name: str, class_: str | None = None) -> list[Element]:
        return [
            e
            for e in self.walk()
            if e.name == name and (class_ is None or class_ in (e.attributes.get("class") or "").split())
        ]


class Reader(HTMLParser):
    """Reads a page into elements; a tag that is not closed where it should be is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"an attribute twice: {attrs}"
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(text: str) -> Element:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def verified(facts: Facts) -> VerifyResult:
    facts = replace(facts, now=NOW)
    return VerifyResult(facts, tuple(run(ALL, facts)))


def whole() -> VerifyResult:
    return verified(World().facts())


def broken() -> VerifyResult:
    world = World()
    world.silence("nhn")
    world.find("kt", "Service", "istio-ingressgateway")["spec"] = {}
    world.status("kt", "ncloud", "timeout")
    return verified(world.facts())


PAIR = record("link.synced", "synced", Scope.PAIR)
OWN = record("gateway.address", "it has one")


def many(count: int, *, name: str = "cluster-{:02}") -> VerifyResult:
    """So many clusters, none of which was observed, all well but for the way from the first to the last."""
    names = [name.format(number) for number in range(1, count + 1)]
    facts = Facts(
        mesh=MESH,
        clusters={n: Cluster(n, f"{n}-id", f"network-{n}", ApiServer("https://api")) for n in names},
        observed={},
        unreachable={},
        seen={},
        now=NOW,
    )
    results = [Result(OWN, Target(n), Verdict.OK, "1.2.3.4") for n in names]
    for one in names:
        for other in names:
            if (one, other) == (names[0], names[-1]) and one != other:
                problem = Problem(code=Code.NOT_SYNCED, message=f"{one} does not see {other}", cluster=one)
                results.append(Result(PAIR, Target(one, other), Verdict.FAILED, "timeout", problem))
            elif one != other:
                results.append(Result(PAIR, Target(one, other), Verdict.OK, "synced"))
    return VerifyResult(facts, tuple(results))


def unknown_one() -> VerifyResult:
    result = many(1)
    unknown = Result(OWN, Target("cluster-01"), Verdict.UNKNOWN, "no answer")
    return replace(result, results=(*result.results, unknown))


PAGES: dict[str, Callable[[], VerifyResult]] = {
    "whole": whole,
    "broken": broken,
    "hostile": lambda: many(3, name=HOSTILE + "{}"),
    **{f"{count} clusters": partial(many, count) for count in (1, 2, 3, 8, 9, 50)},
}


@pytest.fixture(params=PAGES, scope="module")
def shown(request: pytest.FixtureRequest) -> Element:
    return read(page(PAGES[request.param](), NOW))


class TestEveryPage:
    def test_loads_nothing_and_runs_nothing(self, shown: Element) -> None:
        for element in shown.walk():
            assert element.name not in {"script", "iframe", "object", "embed", "img", "link", "base", "form"}
            for name, value in element.attributes.items():
                assert not name.startswith("on")
                assert name != "src"
                if name == "href":
                    assert (value or "").startswith("#")
        assert "url(" not in STYLE
        assert "@import" not in STYLE

    def test_forbids_the_browser_to_load_or_run_anything(self, shown: Element) -> None:
        policy = [
            e.attributes["content"]
            for e in shown.all("meta")
            if e.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert len(policy) == 1
        assert str(policy[0]).startswith("default-src 'none'; style-src 'unsafe-inline'")

    def test_every_reference_within_it_leads_somewhere(self, shown: Element) -> None:
        ids = [e.attributes["id"] for e in shown.walk() if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        desired = {str(e.attributes["href"])[1:] for e in shown.all("a")}
        for element in shown.walk():
            desired |= set((element.attributes.get("aria-labelledby") or "").split())
            desired |= set(re.findall(r"url\(#([^)]+)\)", element.attributes.get("marker-end") or ""))
        assert desired <= set(ids)

    def test_every_table_has_scopes_for_its_headings(self, shown: Element) -> None:
        tables = shown.all("table")
        assert tables
        for table in tables:
            assert len(table.all("caption")) == 1
            assert all(th.attributes.get("scope") for th in table.all("th"))

    def test_every_drawing_has_a_description(self, shown: Element) -> None:
        for drawing in shown.all("svg"):
            if drawing.attributes.get("aria-hidden") != "true":
                assert drawing.attributes.get("role") == "img"
                assert drawing.all("title")[0].text
                assert drawing.all("desc")[0].text

    def test_what_is_wide_scrolls_in_a_box_that_keys_reach(self, shown: Element) -> None:
        boxes = shown.all("div", "scroll")
        inside = {id(e) for box in boxes for e in box.walk()}
        for wide in (*shown.all("table"), *shown.all("svg", "dots")):
            assert id(wide) in inside
        for box in boxes:
            assert box.attributes.get("tabindex") == "0"
            assert box.attributes.get("role") == "region"
            assert box.attributes.get("aria-label")

    def test_every_sign_has_its_word(self, shown: Element) -> None:
        for cell in shown.all("td", "cell"):
            if "none" not in str(cell.attributes["class"]).split():
                assert cell.all("span", "hidden")[0].text.strip()

    def test_has_one_first_heading_and_no_level_left_out(self, shown: Element) -> None:
        levels = [int(e.name[1]) for e in shown.walk() if re.fullmatch(r"h[1-6]", e.name)]
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


class TestTopology:
    @pytest.mark.parametrize("kind", ["for-wide", "for-narrow"])
    @pytest.mark.parametrize("count", range(1, 9))
    def test_boxes_stand_apart_within_the_drawing(self, count: int, kind: str) -> None:
        (drawing,) = read(page(many(count), NOW)).all("svg", kind)
        _, _, wide, high = map(float, str(drawing.attributes["viewbox"]).split())
        boxes = [
            tuple(float(str(e.attributes[key])) for key in ("x", "y", "width", "height"))
            for e in drawing.all("rect", "box")
        ]

        assert len(boxes) == count
        assert all(x >= 0 and y >= 0 and x + w <= wide and y + h <= high for x, y, w, h in boxes)
        for (x, y, w, h), (u, v, _, _) in combinations(boxes, 2):
            assert abs(x - u) >= w or abs(y - v) >= h

    @pytest.mark.parametrize("kind", ["for-wide", "for-narrow"])
    @pytest.mark.parametrize("count", [1, 2, 3, 8])
    def test_there_is_an_arrow_for_each_direction(self, count: int, kind: str) -> None:
        (drawing,) = read(page(many(count), NOW)).all("svg", kind)

        ways = [e for e in drawing.all("path", "way") if e.all("title")]
        assert len(ways) == count * (count - 1)
        assert len([e for e in ways if "failed" in str(e.attributes["class"])]) == (count > 1)

    @pytest.mark.parametrize("kind", ["for-wide", "for-narrow"])
    @pytest.mark.parametrize("count", [2, 3, 5, 8])
    def test_an_arrow_begins_and_ends_right_beside_a_box(self, count: int, kind: str) -> None:
        (drawing,) = read(page(many(count), NOW)).all("svg", kind)
        boxes = [
            tuple(float(str(e.attributes[key])) for key in ("x", "y", "width", "height"))
            for e in drawing.all("rect", "box")
        ]

        def from_a_box(x: float, y: float) -> float:
            return min(max(u - x, x - u - w, v - y, y - v - h) for u, v, w, h in boxes)

        ends = [
            from_a_box(*map(float, end.split()))
            for way in drawing.all("path", "way")
            if way.all("title")
            for end in str(way.attributes["d"]).removeprefix("M").split("L")
        ]
        assert ends
        assert {round(end) for end in ends} == {4}

    @pytest.mark.parametrize("count", range(1, 9))
    def test_the_drawing_for_a_phone_is_as_narrow_as_its_page(self, count: int) -> None:
        (drawing,) = read(page(many(count), NOW)).all("svg", "for-narrow")

        assert float(str(drawing.attributes["width"])) <= 390 - 2 * 12
        assert "style" not in drawing.attributes

    @pytest.mark.thorough
    def test_letters_of_many_clusters_stay_large_enough_to_be_read_on_a_phone(self) -> None:
        (drawing,) = read(page(many(50), NOW)).all("svg", "dots")

        least = float(re.search(r"min-width:(\d+)px", str(drawing.attributes["style"]))[1])  # type: ignore[index]
        assert 12 * least / float(str(drawing.attributes["width"])) >= 10

    def test_fifty_clusters_are_dots_with_a_line_for_two(self) -> None:
        drawing = read(page(many(50), NOW)).all("svg", "topology")[0]

        chords = {str(e.attributes["class"]): str(e.attributes["d"]).count("M") for e in drawing.all("path")}
        assert len(drawing.all("circle")) == len(drawing.all("text")) == 50
        assert chords == {"chord ok": 50 * 49 // 2 - 1, "chord failed": 1}

    def test_a_failing_data_path_makes_every_way_to_that_cluster_bad(self) -> None:
        check = record("data-path.ready")
        problem = Problem(code=Code.NO_METRICS, message="x")
        results = [
            *many(3).results,
            Result(check, Target("cluster-02"), Verdict.FAILED, "closed", problem),
            Result(check, Target("cluster-03"), Verdict.UNKNOWN, "nothing meshed to reach"),
        ]

        ways = links(results)

        assert ways["cluster-01", "cluster-02"] is State.FAILED
        assert ways["cluster-02", "cluster-03"] is State.OK

    def test_long_names_that_differ_in_their_ends_stay_apart_and_leave_room_for_the_sign(self) -> None:
        arn = "arn:aws:eks:ap-northeast-2:123456789012:cluster/production-{}"
        names = read(page(many(5, name=arn), NOW)).all("svg", "topology")[0].all("text", "name")

        assert len({e.text for e in names}) == 5
        assert all(width(e.text) <= 16 for e in names)

    @pytest.mark.parametrize("count", [3, 12])
    def test_long_names_leave_room_for_the_cells_of_a_matrix(self, count: int) -> None:
        arn = "arn:aws:eks:ap-northeast-2:123456789012:cluster/production-{}"
        (matrix,) = read(page(many(count, name=arn), NOW)).all("table", "matrix")

        heads = [e for e in matrix.all("th") if "title" in e.attributes]
        assert [e.attributes["title"] for e in heads[:count]] == [arn.format(n) for n in range(1, count + 1)]
        assert max(width(e.text) for e in heads) <= 25
        assert len({e.text for e in heads}) == count

    def test_a_long_name_is_cut_and_shown_in_full_elsewhere(self) -> None:
        name = "클러스터-" * 9 + "{}"
        shown = read(page(many(2, name=name), NOW))

        drawing = shown.all("svg", "topology")[0]
        assert all(width(e.text) <= 25 for e in drawing.all("text"))
        assert name.format(1) in shown.all("table", "clusters")[0].text


class TestFindings:
    def test_root_causes_come_first(self) -> None:
        result = broken()
        cards = [e.all("a")[0].text for e in read(page(result, NOW)).all("article")]

        roots = [found.check.id for found in result.root_causes]
        assert roots
        assert cards[: len(roots)] == roots

    def test_a_card_has_all_its_evidence(self) -> None:
        result = broken()
        text = read(page(result, NOW)).all("section")[0].text

        for found in result.failed:
            assert found.problem is not None
            for part in ("message", "seen", "expected", "hint"):
                assert str(getattr(found.problem, part) or "") in text

    def test_what_follows_from_another_fault_leads_to_it(self) -> None:
        result = many(3)
        fault = result.results[4]
        assert fault.problem
        cause = Cause(fault.check.id, fault.target)
        other = Result(OWN, Target("cluster-03"), Verdict.FAILED, "none", fault.problem, caused_by=(cause,))

        shown = read(page(replace(result, results=(*result.results, other)), NOW))

        card = next(e for e in shown.all("article") if any(i.attributes.get("id") == "r2" for i in e.walk()))
        assert [a.attributes["href"] for a in card.all("a")] == ["#check-gateway.address", "#r1"]
        assert [d.all("h3")[0].text for d in shown.all("details", "group")] == [
            "Explained by a root cause (1)"
        ]

    def test_results_hidden_by_one_fault_are_reported_once(self) -> None:
        shown = read(page(broken(), NOW))

        (group,) = shown.all("details", "group")
        assert "Unknown" in group.all("h3")[0].text
        assert len(group.all("article")) < 5
        assert "open" not in group.attributes

    def test_clusters_with_the_same_fault_share_a_card(self) -> None:
        problem = Problem(code=Code.NO_METRICS, message="there are no metrics", hint=Advice("install them"))
        check = replace(OWN, severity=Severity.WARNING)
        faults = tuple(
            Result(check, Target(name), Verdict.FAILED, "none", replace(problem, cluster=name))
            for name in ("kt", "ncloud")
        )

        (card,) = read(page(replace(many(1), results=faults), NOW)).all("article")

        assert [e.text for e in card.all("span", "target")] == ["kt", "ncloud"]

    def test_a_fault_whose_message_names_its_cluster_is_one_card_of_all_its_clusters(self) -> None:
        check = replace(OWN, severity=Severity.WARNING)
        faults = tuple(
            Result(
                check,
                Target(name),
                Verdict.FAILED,
                f"{number} seen",
                Problem(
                    code=Code.NO_METRICS, message=f"{name} has no metrics", cluster=name, seen=f"{number}"
                ),
            )
            for number, name in enumerate(("kt", "ncloud"))
        )

        (card,) = read(page(replace(many(1), results=faults), NOW)).all("article")

        assert card.all("span", "title")[0].text == "kt, ncloud has no metrics"
        assert card.all("dd")[0].text == "kt: 0\nncloud: 1"

    def test_of_many_clusters_the_last_ones_are_folded(self) -> None:
        problem = Problem(code=Code.NO_METRICS, message="there are no metrics")
        names = [f"c{number}" for number in range(50)]
        faults = tuple(
            Result(OWN, Target(name), Verdict.FAILED, "none", replace(problem, cluster=name))
            for name in names
        )

        (card,) = read(page(replace(many(1), results=faults), NOW)).all("article")

        (more,) = card.all("details")
        assert more.all("summary")[0].text == "38 more"
        assert [e.text for e in card.all("span", "target")] == names

    def test_a_root_cause_lists_the_checks_that_it_explains(self) -> None:
        result = many(3)
        fault = result.results[4]
        other = Result(
            OWN, Target("cluster-03"), Verdict.UNKNOWN, caused_by=(Cause(fault.check.id, fault.target),)
        )

        shown = read(page(replace(result, results=(*result.results, other)), NOW))

        assert "1 unknown (gateway.address)" in shown.all("article")[0].text

    def test_a_hint_that_is_a_command_can_be_copied_alone(self) -> None:
        result = broken()
        commands = {e.text for card in read(page(result, NOW)).all("article") for e in card.all("pre")}

        hints = [found.problem for found in result.failed if found.problem and found.problem.hint]
        assert commands == {str(problem.hint) for problem in hints if isinstance(problem.hint, Command)}

    def test_a_long_command_is_seen_whole(self) -> None:
        assert "dd pre{white-space:pre-wrap}" in STYLE

    def test_a_healthy_mesh_is_reported_as_such(self) -> None:
        result = many(1)
        assert "Every check passed." in read(page(result, NOW)).all("section")[0].text


class TestVerdict:
    @pytest.mark.parametrize(
        ("result", "style", "sentence"),
        [
            (broken, "failed", "The mesh is not healthy: 4 failed, "),
            (whole, "warning", "The mesh works, with warnings: 1 warning, "),
            (lambda: many(3), "failed", "The mesh is not healthy: 1 failed, 8 passed"),
            (lambda: many(1), "ok", "The mesh is healthy: 1 passed"),
            (unknown_one, "unknown", "No check failed, but some results are unknown: 1 unknown, 1 passed"),
        ],
    )
    def test_is_one_sentence_in_the_colour_of_the_worst_result(
        self, result: Callable[[], VerifyResult], style: str, sentence: str
    ) -> None:
        (verdict,) = read(page(result(), NOW)).all("p", "verdict")

        assert str(verdict.attributes["class"]).split()[1:] == [style]
        assert verdict.text[2:].startswith(sentence)

    def test_has_the_counts_of_verify_and_its_next_command(self) -> None:
        result = broken()
        shown = read(page(result, NOW))

        assert summary(result) in shown.all("p", "verdict")[0].text
        assert summary(result) in shown.all("title")[0].text
        assert shown.all("div", "next")[0].all("code")[0].text == next_command(result)


class TestLinks:
    def test_a_failed_cell_links_to_its_card(self) -> None:
        shown = read(page(many(3), NOW))

        (cell,) = shown.all("table", "matrix")[0].all("td", "failed")
        href = str(cell.all("a")[0].attributes["href"])
        (target,) = [e for e in shown.walk() if e.attributes.get("id") == href[1:]]
        assert target.text == "cluster-01 → cluster-03"

    def test_a_card_links_to_the_line_of_its_check(self) -> None:
        shown = read(page(many(3), NOW))

        (link,) = shown.all("article")[0].all("a")
        (line,) = [e for e in shown.walk() if e.attributes.get("id") == str(link.attributes["href"])[1:]]
        assert line.text == link.text == "link.synced"


class TestOnAPhone:
    """Tables are cards there: each cell has the name of its column beside it."""

    @pytest.mark.parametrize("kind", ["certificates", "clusters", "checks", "matrix"])
    def test_every_cell_of_a_card_has_its_name(self, kind: str) -> None:
        tables = [
            e for e in read(page(whole(), NOW)).all("table", "cards") if kind in str(e.attributes["class"])
        ]

        assert tables
        for table in tables:
            for row in table.all("tr")[1:]:
                unnamed = [td for td in row.all("td") if not td.attributes.get("data-label")]
                assert [td.text.strip() for td in unnamed] == ["√ passed"] * (kind == "certificates")

    def test_the_style_of_cards_is_for_narrow_screens_alone(self) -> None:
        narrow = STYLE.partition("@media screen and (max-width:640px)")[2].partition("@media print")[0]
        assert "content:attr(data-label)" in narrow
        assert STYLE.count("content:attr(data-label)") == 1
        assert ".for-narrow{display:inline-block}" in narrow
        assert ".for-wide{display:none}" in narrow


class TestListing:
    def test_every_topic_is_folded(self) -> None:
        topics = read(page(broken(), NOW)).all("section")[-1].children

        folded = [e for e in topics if isinstance(e, Element) and e.name == "details"]
        assert len(folded) > 10
        assert not any("open" in e.attributes for e in folded)

    def test_every_check_is_there_with_every_target(self) -> None:
        result = broken()
        text = read(page(result, NOW)).all("section")[-1].text

        for found in result.results:
            assert found.check.id in text
            assert found.check.passes in text
            assert found.seen in text
        for found in result.failed:
            assert str(found.target) in text

    def test_a_new_check_appears_without_further_changes(self) -> None:
        new = record("moon.phase", "the moon is full", Scope.PAIR, Severity.WARNING)
        result = many(2)
        added = Result(new, Target("cluster-01", "cluster-02"), Verdict.OK, "full")
        shown = read(page(replace(result, results=(*result.results, added)), NOW))

        assert "moon.phase" in shown.all("section")[-1].text
        assert any("moon" in e.text for e in shown.all("caption"))

    def test_the_same_result_of_fifty_clusters_is_one_line(self) -> None:
        shown = read(page(many(50), NOW)).all("section")[-1]

        assert len(shown.all("tr")) < 10
        assert "2,449 pairs" in shown.text


class TestCertificates:
    def facts(self, **fields: object) -> Facts:
        """A mesh of whose certificates only cacerts are known, and these."""
        unread: dict[str, object] = {"serving": {}, "proxies": {}, "distributed_roots": {}}
        return replace(World().facts(), **(unread | fields))  # type: ignore[arg-type]

    def test_the_root_that_all_share_is_one(self) -> None:
        found = certificates(self.facts(), datetime.now(UTC))

        assert [one.role for one in found] == ["root CA", *["cluster's CA"] * 3]
        assert {holder.partition(":")[0] for holder in found[0].holders} == set(CLUSTERS)

    def test_whatever_the_facts_hold_is_found(self) -> None:
        leaf = new_intermediate(root(), "kt-k2p", NOW, key=EC, validity=timedelta(days=1)).certificate
        held = {
            "kt": (
                Serving("istiod-1", leaf),
                ProxyTrust("istio-system", "istio-ingressgateway-1", (), (root("other").certificate,)),
            )
        }

        found = certificates(self.facts(peers=held), NOW)

        holders = {holder for one in found for holder in one.holders}
        assert "kt: istiod-1 serves it" in holders
        assert "kt: istio-system/istio-ingressgateway-1" in holders

    def test_a_workload_is_called_by_its_identity(self) -> None:
        leaf = workload_leaf(root(), "reviews").certificate

        found = certificates(self.facts(peers={"kt": Serving("istiod-1", leaf)}), NOW)

        assert "kt: sample/reviews" in [one.name for one in found]

    @pytest.mark.parametrize(
        ("later", "state"),
        [
            (timedelta(days=1), State.OK),
            (timedelta(days=3650 - 60), State.WARNING),
            (timedelta(days=3700), State.FAILED),
            (timedelta(days=-30), State.FAILED),
        ],
    )
    def test_an_authority_is_judged_by_what_is_left_of_it(self, later: timedelta, state: State) -> None:
        found = certificates(self.facts(), datetime.now(UTC) + later)

        assert {one.state for one in found} == {state}

    def test_only_those_that_end_first_have_a_bar(self) -> None:
        one = certificates(self.facts(), datetime.now(UTC))[1]
        many_of_them = [
            Shown(
                f"leaf {day}",
                "workload",
                replace(one.facts, not_after=NOW + timedelta(days=day), fingerprint=str(day)),
                (),
                State.OK,
            )
            for day in range(100, 0, -1)
        ]

        assert {shown.name for shown in soonest(many_of_them, 3)} == {"leaf 1", "leaf 2", "leaf 3"}

    def test_the_end_stands_in_the_table_and_on_the_time_line(self) -> None:
        shown = read(page(whole(), NOW))

        table = shown.all("table", "certificates")[0]
        assert len(table.all("tr")) == 1 + 1 + 3 * len(CLUSTERS)  # a head, the root; CA, istiod and proxy
        assert f"{NOW + timedelta(days=3650):%Y-}" in table.text
        assert len(shown.all("div", "timeline")[0].all("span", "bar")) == 1 + 3 * len(CLUSTERS)

    def test_the_time_line_is_as_wide_as_the_page(self) -> None:
        (drawing,) = read(page(whole(), NOW)).all("div", "timeline")

        styles = [str(e.attributes["style"]) for e in drawing.walk() if "style" in e.attributes]
        percents = [float(re.fullmatch(r"(?:left|width):([\d.]+)%", style)[1]) for style in styles]  # type: ignore[index]
        assert min(percents) == 0
        assert max(percents) == 100
        assert drawing.attributes["role"] == "img"
        assert "not valid now: none" in str(drawing.attributes["aria-label"])

    def test_a_renewed_authority_and_the_one_before_it_are_distinguished_on_the_time_line(self) -> None:
        again = new_intermediate(root(), "kt-k2p", NOW, key=EC).certificate
        found = certificates(self.facts(peers={"kt": Serving("istiod-1", again)}), NOW)

        drawn = read(timeline(found, NOW)).all("span", "name")

        names = [e.text for e in drawn if e.text.startswith("kt-k2p")]
        assert len(names) == len(set(names)) == 2
        assert f" {fingerprint(again)[:5]}…" in " ".join(names)


class TestHostileNames:
    def test_are_text_wherever_they_stand(self) -> None:
        text = page(many(3, name=HOSTILE + "{}"), NOW)

        assert "<script" not in text
        assert HOSTILE + "1" in read(text).all("table", "clusters")[0].text

    def test_control_letters_and_turns_of_direction_are_shown_as_such(self) -> None:
        text = page(many(2, name="a\x00b\x1b[31m\u202ec{}"), NOW)

        assert not {"\x00", "\x1b", "\u202e"} & set(text)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "ok", "unknown", "warning", "failed", "none", "link"])
@pytest.mark.parametrize("background", ["paper", "card"])
def test_texts_stand_out_from_their_ground(mode: int, ink: str, background: str) -> None:
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", re.findall(r":root\{([^}]*)\}", STYLE)[mode]))
    one, other = sorted((luminance(colours[ink]), luminance(colours[background])))

    assert (other + 0.05) / (one + 0.05) >= 4.5  # WCAG 2.1, success criterion 1.4.3


def test_the_same_findings_give_the_same_page() -> None:
    result = broken()
    assert page(result, NOW) == page(result, NOW)


def test_a_page_is_known_by_its_beginning() -> None:
    assert is_own_page(page(many(1), NOW).encode()[:4096])
    assert not is_own_page(b"<!DOCTYPE html><html><head><title>mine</title>")


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("클러스터", 5, "클러…"), ("클러", 4, "클러")],
)
def test_a_text_is_cut_to_its_width(text: str, most: int, cut: str) -> None:
    assert clipped(text, most) == cut


@pytest.mark.parametrize(
    ("name", "most", "cut"),
    [("abc", 3, "abc"), ("abcd", 3, "a…d"), ("클러스터", 5, "클…터"), ("클러", 4, "클러")],
)
def test_a_clusters_name_is_cut_in_its_middle(name: str, most: int, cut: str) -> None:
    assert clipped_name(name, most) == cut


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(days=3000), "8 years left"),
        (timedelta(days=40), "40 days left"),
        (timedelta(hours=30), "30 hours left"),
        (timedelta(minutes=90), "90 minutes left"),
        (timedelta(days=-3), "expired 3 days ago"),
    ],
)
def test_the_remaining_validity_is_shown_in_words(span: timedelta, expected: str) -> None:
    assert left(NOW + span, NOW) == expected
