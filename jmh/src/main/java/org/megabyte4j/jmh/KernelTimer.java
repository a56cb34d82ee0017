package org.megabyte4j.jmh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.backend.Stopwatch;
import org.megabyte4j.backend.cuda.CudaBackend;

/**
 * Times a case: a graph that calls the operation once on each of several sets of tensors is replayed, and events around
 * each replay tell its time. The sets together are larger than the second-level cache, so that what an operation reads
 * comes from memory, as it does in a training step of this size.
 */
final class KernelTimer {
    private static final int MOST_SETS = 64;
    private static final int WARM_UP = 3;

    private final CudaBackend backend;
    private final long rotation;
    private final int replays;

    /**
     * @param rotation bytes of all sets of a case
     * @param replays  that are timed
     */
    KernelTimer(CudaBackend backend, long rotation, int replays) {
        this.backend = backend;
        this.rotation = rotation;
        this.replays = replays;
    }

    /**
     * Times of one call.
     *
     * @param launches kernels, copies and fills of a call, those of libraries included
     * @param median   microseconds, as all times
     */
    record Timing(long launches, int sets, double median, double least, double most) { }

    Timing time(KernelCase work) {
        List<Set> sets = new ArrayList<>();
        try {
            sets.add(new Set(work));
            // The workspace is shared by the calls of a set, so it does not count.
            long more = Math.ceilDiv(rotation, sets.getFirst().program.bytes()) - 1;
            for (int i = 0; i < Math.min(more, MOST_SETS - 1); i++) {
                sets.add(new Set(work));
            }
            long launches = backend.countLaunches(sets.getFirst());
            try (Recording all = backend.record(() -> sets.forEach(Set::run))) {
                time(all, WARM_UP);
                double[] times = time(all, replays);
                Arrays.sort(times);
                double perCall = 1e6 / sets.size();
                return new Timing(launches, sets.size(), perCall * (times[(replays - 1) / 2] + times[replays / 2]) / 2,
                        perCall * times[0], perCall * times[replays - 1]);
            }
        } finally {
            sets.forEach(Set::close);
        }
    }

    /** Seconds of each run; all are enqueued before the host waits. */
    private double[] time(Runnable work, int runs) {
        try (Stopwatch watch = backend.stopwatch()) {
            watch.lap();
            for (int i = 0; i < runs; i++) {
                work.run();
                watch.lap();
            }
            return watch.seconds();
        }
    }

    /** A set of tensors and the call on them. */
    private final class Set implements Runnable, AutoCloseable {
        private final Program program = Program.on(backend);
        private final KernelCase.Call call;
        private final Ops ops;

        Set(KernelCase work) {
            try {
                call = work.work().apply(program);
                ops = program.start(call::everything);
            } catch (RuntimeException | Error e) {
                program.close();
                throw e;
            }
        }

        @Override
        public void run() {
            call.timed().accept(ops);
        }

        @Override
        public void close() {
            program.close();
        }
    }
}
