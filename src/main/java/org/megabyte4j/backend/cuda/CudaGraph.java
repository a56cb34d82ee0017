package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;

/** Work that was captured once and is enqueued as a whole. Closed with the context, or before. */
final class CudaGraph implements AutoCloseable {
    private final CudaContext context;
    private final CUgraphExec executable = new CUgraphExec();
    private boolean open = true;

    private CudaGraph(CudaContext context) {
        this.context = context;
    }

    /**
     * Notes what {@code work} enqueues, without running it. Work may not wait, allocate or copy from the host.
     *
     * @throws CudaException if it did, or the driver cannot replay it
     */
    static CudaGraph capture(CudaContext context, Runnable work) {
        CUgraph graph = noted(context, work);
        CudaGraph captured = new CudaGraph(context);
        try {
            check(JCudaDriver.cuGraphInstantiate(captured.executable, graph, 0), "cuGraphInstantiate");
        } finally {
            JCudaDriver.cuGraphDestroy(graph);
        }
        return context.hold(captured);
    }

    /** How many kernels, copies and fills {@code work} enqueues; nothing runs. */
    static long count(CudaContext context, Runnable work) {
        CUgraph graph = noted(context, work);
        try {
            long[] nodes = new long[1];
            check(JCudaDriver.cuGraphGetNodes(graph, null, nodes), "cuGraphGetNodes");
            return nodes[0];
        } finally {
            JCudaDriver.cuGraphDestroy(graph);
        }
    }

    private static CUgraph noted(CudaContext context, Runnable work) {
        context.use();
        check(JCudaDriver.cuStreamBeginCapture(context.compute(),
                CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "cuStreamBeginCapture");
        CUgraph graph = new CUgraph();
        context.setCapturing(true);
        try {
            work.run();
        } catch (RuntimeException | Error e) {
            // Ends the capture, so that the stream can be used again; that it fails too is no news.
            if (JCudaDriver.cuStreamEndCapture(context.compute(), graph) == 0) {
                JCudaDriver.cuGraphDestroy(graph);
            }
            throw e;
        } finally {
            context.setCapturing(false);
        }
        check(JCudaDriver.cuStreamEndCapture(context.compute(), graph), "cuStreamEndCapture");
        return graph;
    }

    /** Enqueues all of it. */
    void launch() {
        context.use();
        check(JCudaDriver.cuGraphLaunch(executable, context.compute()), "cuGraphLaunch");
    }

    @Override
    public void close() {
        if (open) {
            context.use();
            open = false;
            context.release(this);
            check(JCudaDriver.cuGraphExecDestroy(executable), "cuGraphExecDestroy");
        }
    }
}
