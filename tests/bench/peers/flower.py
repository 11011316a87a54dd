"""One round of Flower's SecAgg+ in one process: its released client mod and server workflow.

usage: flower.py CLIENTS COORDINATES DROPPED

The messages go from the workflow to the mods by a call: no network, no serialisation, no training.
DROPPED clients are lost after they shared their keys, before they send a vector, as in ours. The
result must be the mean of the others, or there is no figure. Prints one line of JSON.
"""

import json
import logging
import resource
import sys
import time

import numpy
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.compat.common import recorddict_compat as compat
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.supercore.task_identity import TaskIdentity

CLIP = 8.0
# Flower quantises to 2^22 levels and multiplies by the weight: the step of one value in the mean.
STEP = 2 * CLIP / (1 << 22)


class Fleet:
    """Clients behind a grid that calls them."""

    def __init__(self, vectors, dropped):
        self.vectors = vectors
        self.dropped = dropped
        self.contexts = {
            node: Context(0, node, {}, RecordDict(), {}) for node in vectors
        }
        self.uploaded = 0
        self.seconds = {}

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        began = time.process_time()
        for message in messages:
            node = message.metadata.dst_node_id
            stage = message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]
            if stage == Stage.COLLECT_MASKED_VECTORS and node in self.dropped:
                continue
            reply = secaggplus_mod(delivered(message), self.contexts[node], self.train)
            if stage == Stage.COLLECT_MASKED_VECTORS:
                configs = reply.content.config_records[RECORD_KEY_CONFIGS]
                size = sum(len(part) for part in configs[Key.MASKED_PARAMETERS])
                self.uploaded = max(self.uploaded, size)
            replies.append(reply)
        self.seconds[stage] = time.process_time() - began
        return replies

    def train(self, message, _context):
        vector = self.vectors[message.metadata.dst_node_id]
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([vector]), 1, {})
        return Message(compat.fitres_to_recorddict(result, False), reply_to=message)


def delivered(message):
    """A message of the client's own: the workflow gives all of a stage one record."""
    content = RecordDict(dict(message.content.items()))
    records = message.content.config_records
    content.config_records[RECORD_KEY_CONFIGS] = ConfigRecord(dict(records[RECORD_KEY_CONFIGS]))
    metadata = message.metadata
    return Message(content, metadata.dst_node_id, metadata.message_type, group_id=metadata.group_id)


class Mean(FedAvg):
    """Keeps what the workflow found."""

    def aggregate_fit(self, server_round, results, failures):
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        return results[0][1].parameters, {}


def run(clients, coordinates, dropped):
    generator = numpy.random.default_rng(1)
    vectors = {
        node: generator.uniform(-1, 1, coordinates).astype(numpy.float32)
        for node in range(1, clients + 1)
    }
    fleet = Fleet(vectors, set(range(1, dropped + 1)))
    manager = SimpleClientManager()
    for node in vectors:
        manager.register(GridClientProxy(node, fleet, 0))
    strategy = Mean(fraction_fit=1.0, min_fit_clients=clients, min_available_clients=clients)
    context = LegacyContext(
        Context(0, 0, {}, RecordDict(), {}), strategy=strategy, client_manager=manager
    )
    start = ndarrays_to_parameters([numpy.zeros(coordinates, numpy.float32)])
    context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(start, True)
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord(
        {WorkflowKey.CURRENT_ROUND: 1}
    )
    workflow = SecAggPlusWorkflow(1.0, 0.67, max_weight=1.0, clipping_range=CLIP)
    began = time.process_time()
    workflow(fleet, context)
    cpu = time.process_time() - began
    expected = numpy.mean([vectors[node] for node in vectors if node > dropped], axis=0)
    error = float(numpy.abs(strategy.mean - expected).max())
    if error > 4 * STEP:
        sys.exit(f"flower: the mean is off by {error}")
    clients_cpu = sum(fleet.seconds.values())
    return {
        "peer": "flwr",
        "clients": clients,
        "coordinates": coordinates,
        "dropped": dropped,
        "cpu_s": cpu,
        "client_cpu_s": clients_cpu / clients,
        "server_cpu_s": cpu - clients_cpu,
        "upload_bytes": fleet.uploaded,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "error": error,
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    print(json.dumps(run(*(int(argument) for argument in sys.argv[1:4]))))
