# SPDX-License-Identifier: Apache-2.0
"""The rules of README.md, "How a chip executes a trace", as a program that can be read.

Slow, simple, and sharing nothing with the simulator, so that the two can be held against each
other tick by tick. Left out: the mesh, staged macros, memory that takes time.
"""
import collections
import heapq

from basics import Buffer, Clock, Datum, order, results, tile_of


class Model:
    """Runs the operations of a trace. Then `ready`, `start`, `end` and `freed` (when its unit could go
    on) tell the tick of each operation, `heads` the first of each unit that never started."""

    def __init__(self, chip, operations):
        self.chip, self.operations = chip, {op["id"]: op for op in operations}
        self.clocks = {part: Clock(chip.get(part, {}).get("clock", chip["clock"]))
                       for part in ("macro", "vector", "buffer", "noc")}
        tiles = chip["tiles"]["rows"] * chip["tiles"]["columns"]
        self.buffers = {f"t{tile}": Buffer(chip) for tile in range(tiles)}
        queues = collections.defaultdict(collections.deque)
        for op in operations:
            queues[op["at"]].append(op)
        self.units = {unit: queues[unit] for unit in sorted(queues, key=order)}
        self.busy, self.asked, self.took_over = set(), set(), set()
        self.ready, self.start, self.end, self.freed = {}, {}, {}, {}
        self.sent, self.bus_queue, self.bus_busy, self.to_port = [], [], False, []
        self.calendar, self.ticks, self.now = collections.defaultdict(list), [], 0

    def at(self, tick, action=lambda *_: None, *arguments):
        """Does `action` at `tick`; when that is now, in the next round."""
        heapq.heappush(self.ticks, tick)
        self.calendar[tick].append((action, arguments))

    def run(self):
        for op in self.operations.values():
            self.at(op.get("release", 0))
        while self.ticks:
            self.now = heapq.heappop(self.ticks)
            if self.now in self.calendar:
                self.round(self.calendar.pop(self.now))
        self.heads = {unit: queue[0]["id"] for unit, queue in self.units.items() if queue}
        return self

    def round(self, happenings):
        for action, arguments in happenings:  # ends and arrivals
            action(*arguments)
        starting = []
        for unit, queue in self.units.items():  # requests, in the order of the units
            if queue and unit not in self.busy and queue[0]["id"] not in self.asked:
                self.look_at(queue[0], starting)
        self.line_up_at_ports()
        self.grant_space(starting)
        self.grant_bus()
        self.grant_ports()
        for op in starting:
            self.begin(op)
        self.line_up_at_ports()
        self.hand_over()

    # Before the start ---------------------------------------------------------------------------
    def look_at(self, op, starting):
        operands = [self.buffers[tile_of(op)].data.get(number) for number in op.get("in", [])]
        if (any(datum is None or not datum.available for datum in operands)
                or any(number not in self.end for number in op.get("after", []))
                or op.get("release", 0) > self.now):
            return None
        self.ready.setdefault(op["id"], self.now)
        edge = self.clock_of(op).after(self.now, 0)
        if edge != self.now:  # seen at the next edge
            return self.at(edge)
        self.asked.add(op["id"])
        if "into" in op and operands[op["into"]].uses == 1:
            self.took_over.add(op["id"])
        if op["id"] in self.took_over or op.get("bytes", 0) == 0 or not results(op):
            return starting.append(op)
        for tile in results(op):
            self.buffers[tile].queue.append(op)
        return None

    def grant_space(self, starting):
        granted = True
        while granted:
            granted = False
            for op in [buffer.queue[0] for buffer in self.buffers.values() if buffer.queue]:
                wanted = [self.buffers[tile] for tile in results(op)]
                if all(b.queue and b.queue[0] is op and b.fits(op["bytes"]) for b in wanted):
                    for tile, uses in results(op).items():
                        self.buffers[tile].queue.pop(0)
                        self.buffers[tile].data[op["id"]] = Datum(op["bytes"], uses)
                    starting.append(op)
                    granted = True

    # From start to end --------------------------------------------------------------------------
    def begin(self, op):
        self.start[op["id"]] = self.now
        self.busy.add(op["at"])
        for tile, uses in results(op).items():  # what has not asked for space takes none...
            self.buffers[tile].data.setdefault(op["id"], Datum(0, uses))
        if op["id"] in self.took_over:  # ...but that of an operand, all of it
            data = self.buffers[tile_of(op)].data
            data[op["id"]].size, data[op["in"][op["into"]]].size = data[op["in"][op["into"]]].size, 0
        if op["op"] in ("move", "load"):
            reserved = self.clocks["noc"].lapse(self.now, self.chip["noc"]["reserve"])
            self.at(reserved, self.sent.append, op) if reserved > self.now else self.sent.append(op)
        elif op["op"] == "store":
            self.sent.append(op)
        else:
            size = sum(self.operations[number].get("bytes", 0) for number in op.get("in", []))
            self.through_port(op, size, self.compute)

    def compute(self, op):
        macro, vector = self.chip["macro"], self.chip["vector"]
        done, clock = self.now, self.clock_of(op)
        if op["op"] == "mvm":
            done = clock.lapse(self.now, macro["t_mvm"], op["n"])
        elif op["op"] == "program":
            done = clock.lapse(self.now, macro["program"]["row_time"], op["n"])
        elif vector["lanes"] != "unlimited":
            cycles = -(-op["n"] * vector.get("cost", {}).get(op["fn"], 1) // vector["lanes"])
            done = clock.lapse(self.now, vector["startup"], more_cycles=cycles)
        self.at(done, self.computed, op)

    def computed(self, op):
        if op["op"] != "vec":  # a macro can go on while its result is being written
            self.free_unit(op)
        self.through_port(op, op.get("bytes", 0) if results(op) else 0, self.finish)

    def finish(self, op):
        self.end[op["id"]] = self.now
        if op["op"] == "vec":
            self.free_unit(op)
        for tile in results(op):
            self.buffers[tile].data[op["id"]].available = True
            self.drop_if_used(tile, op["id"])
        for number in op.get("in", []):
            self.buffers[tile_of(op)].data[number].uses -= 1
            self.drop_if_used(tile_of(op), number)

    def free_unit(self, op):
        self.freed[op["id"]] = self.now
        self.busy.remove(op["at"])
        self.units[op["at"]].popleft()

    def drop_if_used(self, tile, number):
        if self.buffers[tile].data[number].uses == 0:
            del self.buffers[tile].data[number]

    # Ports, and the interconnect, which decides in the next round about what it was handed in this one
    def through_port(self, op, size, then):
        width = self.chip["buffer"]["bytes_per_cycle"]
        if size == 0 or "unlimited" in (self.chip["buffer"]["ports"], width):
            return then(op)
        self.to_port.append((order(op["at"]), op["id"], -(-size // width), then))
        return self.at(self.now)

    def line_up_at_ports(self):
        for request in sorted(self.to_port, key=lambda request: request[:2]):
            self.buffers[tile_of(self.operations[request[1]])].port_queue.append(request)
        self.to_port.clear()

    def hand_over(self):
        for op in sorted(self.sent, key=lambda op: order(op["at"])):
            if self.chip["noc"]["kind"] == "ideal":
                self.at(self.now, self.free_unit, op)
                self.at(self.clocks["noc"].lapse(self.now, self.chip["noc"]["latency"]), self.finish, op)
            else:
                self.bus_queue.append(op)
                self.at(self.now)
        self.sent.clear()

    def grant_ports(self):
        for buffer in self.buffers.values():
            while buffer.port_queue and buffer.free_ports > 0:
                _, number, cycles, then = buffer.port_queue.pop(0)
                buffer.free_ports -= 1
                self.at(self.clocks["buffer"].after(self.now, cycles), self.leave_port, buffer, number, then)

    def leave_port(self, buffer, number, then):
        buffer.free_ports += 1
        then(self.operations[number])

    def grant_bus(self):
        edge = self.clocks["noc"].after(self.now, 0)
        if self.bus_queue and not self.bus_busy and edge != self.now:
            self.at(edge)
        elif self.bus_queue and not self.bus_busy:
            op, self.bus_busy = self.bus_queue.pop(0), True
            cycles = -(-op.get("bytes", 0) // self.chip["noc"]["bytes_per_cycle"])
            self.at(self.clocks["noc"].after(self.now, cycles), self.leave_bus, op)

    def leave_bus(self, op):
        self.bus_busy = False
        self.free_unit(op)
        self.finish(op)

    def clock_of(self, op):
        return self.clocks["macro" if ".m" in op["at"] else "vector" if ".vec" in op["at"] else "noc"]
