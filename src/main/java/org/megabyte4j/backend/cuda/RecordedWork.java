package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.Recording;

/**
 * Work that becomes a graph: it runs as it is the first time, which loads what it needs, is captured the second time,
 * and replayed from then on. Each run does the work once.
 */
final class RecordedWork implements Recording {
    private final CudaContext context;
    private final Runnable work;
    private boolean warm;
    private CudaGraph graph;

    RecordedWork(CudaContext context, Runnable work) {
        this.context = context;
        this.work = work;
    }

    @Override
    public void run() {
        if (!warm) {
            context.use();
            work.run();
            warm = true;
            return;
        }
        if (graph == null) {
            graph = CudaGraph.capture(context, work);
        }
        graph.launch();
    }

    @Override
    public void close() {
        if (graph != null) {
            graph.close();
        }
    }
}
