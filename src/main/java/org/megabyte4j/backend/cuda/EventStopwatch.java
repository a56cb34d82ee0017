package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.Stopwatch;

/** By events of the computing stream, which cost it next to nothing and never hold up the host. */
final class EventStopwatch implements Stopwatch {
    private final CudaContext context;
    private final List<TimingEvent> marks = new ArrayList<>();

    EventStopwatch(CudaContext context) {
        this.context = context;
    }

    @Override
    public void lap() {
        TimingEvent mark = new TimingEvent(context);
        marks.add(mark);
        mark.record();
    }

    @Override
    public double[] seconds() {
        double[] seconds = new double[Math.max(0, marks.size() - 1)];
        for (int i = 0; i < seconds.length; i++) {
            marks.get(i + 1).await();
            seconds[i] = marks.get(i + 1).millisecondsSince(marks.get(i)) * 1e-3;
        }
        return seconds;
    }

    @Override
    public void close() {
        marks.forEach(TimingEvent::close);
        marks.clear();
    }
}
