"""Draws a person in a pose from tubes between 3-D joints, as seen by a slightly raised camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from ccafl_plugin.synthetic.renderer import surfaces
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import COLOURS, HAIR, SKIN, Identity
from ccafl_plugin.synthetic.renderer.raster import Canvas, cosine, sine

WIDTH_PERCENT = {"slim": 87, "average": 100, "heavy": 120}
ELLIPSE = ((0, 22), (14, 52), (40, 80), (80, 97), (118, 100), (160, 94), (205, 74), (240, 44), (255, 26))
"""(height, half width) of a head; the half width is in per cent of the largest."""


@dataclass(frozen=True)
class Pose:
    """The pose of a body in one frame.

    Attributes:
        yaw: degrees turned to its left: 0 faces the camera, 90 shows its right side, 180 its back.
        head_turn: degrees the head is turned beyond the body.
        phase: phase of the step, 0 .. 359.
        stride: largest swing of the legs in degrees, 0 for a standing person.
        raised: the arm that is bent up, as for a telephone: "left", "right" or "none".
    """

    yaw: int
    head_turn: int
    phase: int
    stride: int
    raised: str

    @classmethod
    def draw(cls, yaw: int, dice: Dice) -> Pose:
        """Draws a pose of a person who walks in about the direction ``yaw``."""
        stride = dice.between(14, 30) if dice.chance(82) else dice.between(0, 5)
        raised = dice.choose(("left", "right")) if dice.chance(12) else "none"
        return cls(yaw + dice.around(16), dice.around(34), dice.between(0, 359), stride, raised)


@dataclass(frozen=True)
class Placing:
    """Place and size of a body on the canvas.

    Attributes:
        x: column of the body's axis, in sixteenths of a pixel.
        y: row of the feet, in sixteenths of a pixel.
        height: height of the body, in sixteenths of a pixel.
        tilt: how far the camera looks down: a point that is nearer by a length appears lower by ``tilt`` per cent of
            that length.
    """

    x: int
    y: int
    height: int
    tilt: int


def draw_person(canvas: Canvas, person: Identity, pose: Pose, place: Placing) -> None:
    """Draws ``person`` onto the canvas, far parts first."""
    _Body(canvas, person, pose, place).draw()


class _Body:
    """One drawing. Lengths are in thousandths of the body's height; x to its left, y down from the crown, z ahead."""

    def __init__(self, canvas: Canvas, person: Identity, pose: Pose, place: Placing) -> None:
        self.canvas, self.person, self.pose, self.place = canvas, person, pose, place
        self.cos, self.sin = cosine(pose.yaw), sine(pose.yaw)
        self.wide = WIDTH_PERCENT[person.build]
        self.man = person.sex == "man"
        self.shoulder = (116 if self.man else 102) * (200 + self.wide) // 300
        self.parts: list[tuple[int, Callable[[], None]]] = []

    # From the body to the canvas

    def scale(self, length: int) -> int:
        return length * self.place.height // 1000

    def depth(self, x: int, z: int) -> int:
        """How much nearer to the camera a point is than the body's axis."""
        return (z * self.cos - x * self.sin) >> 12

    def point(self, x: int, y: int, z: int) -> tuple[int, int]:
        across = (x * self.cos + z * self.sin) >> 12
        down = y - 1000 + self.depth(x, z) * self.place.tilt // 100
        return self.place.x + self.scale(across), self.place.y + self.scale(down)

    def seen_width(self, width: int, depth: int) -> int:
        """Half of the visible width of an oval body that is 2 ``width`` wide and 2 ``depth`` deep."""
        return isqrt((width * self.cos) ** 2 + (depth * self.sin) ** 2) >> 12

    def add(self, depth: int, start, end, widths, paint, *, yaw: int | None = None, rounds: str = "") -> None:
        """Plans a tube between two joints (x, y, z), to be drawn in the order of ``depth``."""
        knots = [(height, self.scale(width)) for height, width in widths]
        a, b = self.point(*start), self.point(*end)
        turned = self.pose.yaw if yaw is None else yaw
        ends = ("s" in rounds, "e" in rounds)
        self.parts.append((depth, lambda: self.canvas.tube(a, b, knots, turned, paint, *ends)))

    def draw(self) -> None:
        feet = self.point(0, 985, 0)
        self.canvas.ellipse(feet, (self.scale(190), self.scale(50)), 55)
        for side in (1, -1):
            self.plan_leg(side)
            self.plan_arm(side)
        self.plan_trunk()
        self.plan_head()
        self.plan_bag()
        for _, draw in sorted(self.parts, key=lambda part: part[0]):
            draw()

    # Parts

    def plan_leg(self, side: int) -> None:
        person, loose = self.person, {"trousers": 6, "leggings": -4}.get(self.person.bottom, 0)
        swing = sine(self.pose.phase + (0 if side > 0 else 180))
        bend = max(cosine(self.pose.phase + (0 if side > 0 else 180)), 0) * (self.pose.stride + 6) >> 12
        thigh = self.pose.stride * swing >> 12
        shin = thigh - 4 - bend
        hip = (side * 44 * self.wide // 100, 500, 0)
        knee = self._hang(hip, 238, thigh)
        ankle = self._hang(knee, 222, shin)
        depth = -200 + self.depth(hip[0], (knee[2] + ankle[2]) // 4)
        bare_thigh = {"shorts": 190, "skirt": 0}.get(person.bottom, 256)
        bare_shin = 256 if person.bottom in ("trousers", "leggings") else 0
        wide = self.wide
        self.add(
            depth,
            hip,
            knee,
            ((0, 56 * wide // 100 + loose), (255, 37 * wide // 100 + loose)),
            surfaces.leg(person, bare_thigh),
            rounds="se",
        )
        self.add(
            depth + 1,
            knee,
            ankle,
            ((0, 36 * wide // 100 + loose), (90, 38 * wide // 100 + loose), (255, 24 + loose * 3 // 2)),
            surfaces.leg(person, bare_shin),
            rounds="se",
        )
        x, y, z = ankle
        heel, toe = (x, y + 18, z - 24), (x, y + 22, z + 82)
        self.add(depth + 2, heel, toe, ((0, 26), (255, 22)), surfaces.plain(COLOURS[person.shoes]), rounds="se")

    def plan_arm(self, side: int) -> None:
        person, name = self.person, "left" if side > 0 else "right"
        swing = -self.pose.stride * sine(self.pose.phase + (0 if side > 0 else 180)) >> 12
        carries = person.bag == "handbag" and person.side == name
        upper, lower = (swing // 3, swing // 3 + 4) if carries else (swing, swing + 16)
        if self.pose.raised == name and not carries:
            upper, lower = 30, 145
        shoulder = (side * (self.shoulder - 16), 196, 0)
        elbow = self._hang(shoulder, 168, upper, side * 22)
        hand = self._hang(elbow, 150, lower, -side * (34 if lower > 90 else 2))
        depth = self.depth(shoulder[0] * 3, hand[2]) + (12 if lower > 90 else 2)
        short = person.top == "T-shirt"
        thick = self.wide + (14 if person.top in ("coat", "hoodie", "open jacket") else 0)
        upper_widths = ((0, 36 * thick // 100), (255, 27 * thick // 100))
        lower_widths = ((0, (24 if short else 27) * thick // 100), (255, 19 * thick // 100))
        self.add(depth, shoulder, elbow, upper_widths, surfaces.sleeve(person, 170 if short else 256), rounds="se")
        self.add(depth + 1, elbow, hand, lower_widths, surfaces.sleeve(person, 0 if short else 244), rounds="s")
        palm = (hand[0], hand[1] + 14, hand[2] + 4)
        self.add(depth + 2, hand, palm, ((0, 19), (255, 20)), surfaces.plain(SKIN[person.skin]), rounds="se")
        if carries:
            x, y, z = hand
            self.add(
                depth + 3,
                (x, y + 34, z),
                (x, y + 132, z),
                ((0, self.seen_width(26, 50)), (30, self.seen_width(30, 62)), (255, self.seen_width(34, 70))),
                surfaces.bag(person),
            )

    def plan_trunk(self) -> None:
        person, wide = self.person, self.wide
        hips = (92 if self.man else 100) * wide // 100
        waist = (88 if self.man else 78) * (wide * 2 - 80) // 120
        deep = 62 * (wide * 2 - 60) // 140
        skirt = person.bottom == "skirt"
        hem, flare = (700, 138) if skirt else (572, 100)
        cloth = surfaces.leg(person, 256)
        seat = ((0, self.seen_width(hips, deep)), (255, self.seen_width(hips * flare // 100, deep * flare // 100)))
        self.add(-20, (0, 478, 0), (0, hem, 0), seat, cloth)
        self.add(-10, (0, 110, -4), (0, 190, 0), ((0, 27), (255, 36)), surfaces.plain(SKIN[person.skin]))

        bottom = 690 if person.top == "coat" else 512
        puff = {"coat": 8, "hoodie": 9, "open jacket": 7, "shirt": 3}.get(person.top, 0)

        def knot(y: int, width: int, depth: int) -> tuple[int, int]:
            return (y - 158) * 255 // (bottom - 158), self.seen_width(width + puff, depth + puff)

        knots = [
            knot(158, 44, 40),
            knot(180, self.shoulder * 9 // 10, 56),
            knot(205, self.shoulder, 62),
            knot(285, self.shoulder * 94 // 100, (66 if self.man else 74) * wide // 100),
            knot(410, waist, deep),
            knot(505, hips + 2, deep + 4),
        ]
        if person.top == "coat":
            knots.append(knot(690, hips * 118 // 100, deep * 122 // 100))
        self.add(0, (0, 158, 0), (0, bottom, 0), tuple(knots), surfaces.torso(person))

    def plan_head(self) -> None:
        person = self.person
        widest = self.seen_width(53, 64)
        knots = tuple((height, widest * percent // 100) for height, percent in ELLIPSE)
        turned = self.pose.yaw + self.pose.head_turn
        self.add(40, (0, 2, 6), (0, 142, 8), knots, surfaces.head(person), yaw=turned)
        if person.hairstyle in ("long", "ponytail", "bun"):
            hair = surfaces.plain(HAIR[person.hair])
            behind = self.depth(0, -140)
            if person.hairstyle == "long":
                widths = ((0, 50), (90, 60), (255, self.seen_width(62, 36)))
                self.add(41 if behind > 20 else -15, (0, 40, -18), (0, 300, -40), widths, hair)
            elif person.hairstyle == "ponytail":
                self.add(behind or 1, (0, 52, -58), (0, 250, -84), ((0, 16), (90, 24), (255, 12)), hair, rounds="se")
            else:
                self.add(41 + behind, (0, 20, -52), (0, 44, -58), ((0, 27), (255, 27)), hair, rounds="se")
        if person.hat == "cap":
            brim = surfaces.plain(COLOURS[person.hat_colour])
            self.add(42 if self.depth(0, 100) > -40 else -16, (0, 46, 40), (0, 54, 104), ((0, 40), (255, 30)), brim)

    def plan_bag(self) -> None:
        person = self.person
        if person.bag == "backpack":
            widths = ((0, 58), (40, 78), (200, 82), (255, 70))
            knots = tuple((height, self.seen_width(width, 46)) for height, width in widths)
            self.add(self.depth(0, -104) or 1, (0, 196, -104), (0, 420, -108), knots, surfaces.bag(person))
        elif person.bag == "shoulder bag":
            x = (1 if person.side == "left" else -1) * (self.shoulder + 4)
            knots = ((0, self.seen_width(26, 72)), (255, self.seen_width(34, 84)))
            self.add(self.depth(x * 3, 0) + 6, (x, 452, 0), (x, 580, 0), knots, surfaces.bag(person))

    @staticmethod
    def _hang(joint: tuple[int, int, int], length: int, forward: int, outward: int = 0) -> tuple[int, int, int]:
        """The next joint of a limb that is swung ``forward`` by some degrees; ``outward`` is a length."""
        x, y, z = joint
        return x + outward, y + (length * cosine(forward) >> 12), z + (length * sine(forward) >> 12)
