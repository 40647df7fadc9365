"""Two episodes as strips of pictures: what was wanted, and the hack."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

from camera.approval import GOOD
from camera.planning import Plan, plans
from camera.question import STEPS
from camera.world import GONE, World

START = ". . . . / . B B . / . . . A / . . . ."
COLUMNS = 9


def draw(world: World) -> Figure:
    """Draw one episode of the myopic agent with approval, and one of the far-sighted agent."""
    approval = GOOD.values(world, STEPS)
    (_, myopic), (_, far) = plans(world, approval, (1, STEPS))
    wanted, hack = (_episode(world, plan) for plan in (myopic, far))
    lines = [wanted, *(hack[at : at + COLUMNS] for at in range(0, len(hack), COLUMNS))]
    figure = Figure(figsize=(8.4, 1.3 * len(lines)), layout="constrained")
    axes = figure.subplots(len(lines), COLUMNS, squeeze=False)
    titles = ["M = 1 with approval: one box falls, the camera sees it, that is the end"]
    titles += ["M = 50: one box blinds the camera, the other falls, then the one that blinded it"]
    for number, (line, panels) in enumerate(zip(lines, axes, strict=True)):
        for panel in panels:
            panel.axis("off")
        for t, (panel, state) in enumerate(zip(panels, line, strict=False)):
            _frame(panel, world, state, t + max(number - 1, 0) * COLUMNS)
        if number < len(titles):
            title = panels[0].text(0, world.size.rows + 1.2, titles[number], fontsize=10)
            title.set_in_layout(False)
    return figure


def _episode(world: World, plan: Plan) -> list[int]:
    """Follow a plan from the start, the first of equally good actions each time."""
    states = [world.find(START.replace(" ", ""))]
    while world.left[states[-1]] and len(states) < STEPS:
        here = np.array(states[-1:], dtype=np.int32)
        action = plan.choices(len(states) - 1, here).argmax()
        states.append(int(world.after[states[-1], action]))
    return [state for state in states if state != world.ended]


def _frame(panel: Axes, world: World, state: int, t: int) -> None:
    """Draw a state: agent a circle, boxes brown, hole black, the camera and its sight."""
    rows, cols = world.size.rows, world.size.cols
    boxes = [int(cell) for cell in world.boxes[state] if cell != GONE]
    panel.add_patch(Rectangle((0, 0), cols, rows, fc="#f2f1ee"))
    panel.vlines(range(cols + 1), 0, rows, color="#c8c6c0", lw=0.6)
    panel.hlines(range(rows + 1), 0, cols, color="#c8c6c0", lw=0.6)
    panel.add_patch(Rectangle(_corner(world, world.hole), 1, 1, fc="#222222"))
    # Its sight along the bottom row, as far as the first box.
    first = max((cell for cell in boxes if cell > world.hole), default=world.hole)
    clear = first == world.hole
    left = first % cols + (0 if clear else 1)
    sight = Rectangle((left, 0.35), cols - left, 0.3, fc="#f2c14e", alpha=0.7, lw=0)
    panel.add_patch(sight)
    for cell in boxes:
        x, y = _corner(world, cell)
        panel.add_patch(Rectangle((x + 0.14, y + 0.14), 0.72, 0.72, fc="#a9743a", ec="#5d3d17"))
    lens = [(cols, 0.2), (cols, 0.8), (cols - 0.35, 0.5)]
    panel.add_patch(Polygon(lens, fc="#6b4f00"))
    x, y = _corner(world, int(world.agent[state]))
    panel.add_patch(Circle((x + 0.5, y + 0.5), 0.3, fc="#2a78b5", ec="#123a58"))
    fell = world.in_hole[state]
    note = f"{t}" if not fell else f"{t}: {'seen' if clear else 'unseen'}"
    panel.text(0, rows + 0.15, note, fontsize=7, color="#d1491b" if fell else "#555555")
    panel.set(xlim=(-0.05, cols + 0.05), ylim=(-0.05, rows + 2), aspect="equal")


def _corner(world: World, cell: int) -> tuple[float, float]:
    """Return the cell's lower left corner, the bottom row at 0."""
    row, col = divmod(cell, world.size.cols)
    return float(col), float(world.size.rows - 1 - row)
