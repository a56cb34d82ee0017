#include "graph.h"

#include <set>

#include "../emulation/schedule.h"
#include "objects.h"
#include "state.h"
#include "stream.h"

struct CUgraph_st {
    driver::Nodes nodes;
};

struct CUgraphExec_st {
    driver::Nodes nodes;
    driver::MarkerRef last;    // an executable graph runs once at a time
};

namespace driver {
namespace {

std::set<CUgraph>& graphs() {
    static auto* graphs = new std::set<CUgraph>();
    return *graphs;
}

std::set<CUgraphExec>& executables() {
    static auto* executables = new std::set<CUgraphExec>();
    return *executables;
}

// In the order of capture, or in random order any that the dependencies allow.
CUresult run(const Nodes& nodes) {
    emulation::Schedule schedule = emulation::Schedule::configured();
    emulation::Random random(schedule.seed);
    std::vector<bool> done(nodes.size(), false);
    for (size_t finished = 0; finished < nodes.size(); finished++) {
        std::vector<size_t> ready;
        for (size_t i = schedule.random ? 0 : finished; i < (schedule.random ? nodes.size() : finished + 1); i++) {
            bool possible = !done[i];
            for (int node : nodes[i]->after) possible = possible && done[static_cast<size_t>(node)];
            if (possible) ready.push_back(i);
        }
        size_t next = ready[schedule.random ? random.next() % ready.size() : 0];
        CUresult result = nodes[next]->task();
        if (result != SUCCESS) return result;
        done[next] = true;
    }
    return SUCCESS;
}

CUresult instantiate(CUgraphExec* result, CUgraph graph) {
    if (result == nullptr || graphs().count(graph) == 0) return INVALID_VALUE;
    auto executable = new CUgraphExec_st{graph->nodes, nullptr};
    executables().insert(executable);
    *result = executable;
    return SUCCESS;
}

}  // namespace

CUgraph make_graph(Nodes nodes) {
    auto graph = new CUgraph_st{std::move(nodes)};
    graphs().insert(graph);
    return graph;
}

size_t live_graphs() { return graphs().size(); }
size_t live_graph_executables() { return executables().size(); }

size_t destroy_graphs() {
    size_t count = graphs().size() + executables().size();
    for (CUgraph graph : graphs()) delete graph;
    for (CUgraphExec executable : executables()) delete executable;
    graphs().clear();
    executables().clear();
    return count;
}

}  // namespace driver

using namespace driver;

API CUresult cuGraphCreate(CUgraph* result, unsigned flags) {
    return enter("cuGraphCreate", [&](Lock&) {
        if (result == nullptr || flags != 0) return INVALID_VALUE;
        *result = make_graph({});
        return SUCCESS;
    });
}

API CUresult cuGraphDestroy(CUgraph graph) {
    Nodes doomed;    // goes when the lock is free again: it may call others back
    return enter("cuGraphDestroy", [&](Lock&) {
        if (graphs().erase(graph) == 0) return INVALID_VALUE;
        doomed.swap(graph->nodes);
        delete graph;
        return SUCCESS;
    });
}

API CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    return enter("cuGraphGetNodes", [&](Lock&) {
        if (graphs().count(graph) == 0 || count == nullptr) return INVALID_VALUE;
        size_t there = graph->nodes.size();
        if (nodes != nullptr) {
            for (size_t i = 0; i < *count; i++) nodes[i] = i < there ? graph->nodes[i].get() : nullptr;
            *count = *count < there ? *count : there;
        } else {
            *count = there;
        }
        return SUCCESS;
    });
}

API CUresult cuGraphNodeGetType(CUgraphNode node, int* type) {
    return enter("cuGraphNodeGetType", [&](Lock&) {
        if (node == nullptr || type == nullptr) return INVALID_VALUE;
        *type = node->type;
        return SUCCESS;
    });
}

API CUresult cuGraphInstantiateWithFlags(CUgraphExec* result, CUgraph graph, unsigned long long) {
    return enter("cuGraphInstantiate", [&](Lock&) { return instantiate(result, graph); });
}

API CUresult cuGraphInstantiate_v2(CUgraphExec* result, CUgraph graph, CUgraphNode*, char*, size_t) {
    return enter("cuGraphInstantiate", [&](Lock&) { return instantiate(result, graph); });
}

API CUresult cuGraphUpload(CUgraphExec executable, CUstream handle) {
    return enter("cuGraphUpload", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        return executables().count(executable) == 0 ? INVALID_VALUE : check_capture(stream);
    });
}

API CUresult cuGraphLaunch(CUgraphExec executable, CUstream handle) {
    return enter("cuGraphLaunch", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (executables().count(executable) == 0) return INVALID_VALUE;
        CUresult refused = check_capture(stream);
        if (refused != SUCCESS) return refused;
        auto nodes = std::make_shared<const Nodes>(executable->nodes);    // outlives the destruction of the executable
        if (stream->capture == nullptr && executable->last != nullptr) stream->awaited.push_back(executable->last);
        CUresult result = enqueue(stream, NODE_GRAPH, [nodes] { return run(*nodes); });
        if (stream->capture == nullptr) executable->last = stream->last;
        return result;
    });
}

API CUresult cuGraphExecDestroy(CUgraphExec executable) {
    Nodes doomed;
    return enter("cuGraphExecDestroy", [&](Lock&) {
        if (executables().erase(executable) == 0) return INVALID_VALUE;
        doomed.swap(executable->nodes);
        delete executable;
        return SUCCESS;
    });
}
