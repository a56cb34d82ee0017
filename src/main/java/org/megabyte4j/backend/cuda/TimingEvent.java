package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/** An event of the computing stream that tells the time; the driver counts in half microseconds. */
final class TimingEvent implements AutoCloseable {
    private final CudaContext context;
    private final CUevent handle = new CUevent();

    TimingEvent(CudaContext context) {
        this.context = context;
        check(JCudaDriver.cuEventCreate(handle, CUevent_flags.CU_EVENT_DEFAULT), "cuEventCreate");
    }

    /** It happens when what has been enqueued so far is done. */
    void record() {
        check(JCudaDriver.cuEventRecord(handle, context.compute()), "cuEventRecord");
    }

    void await() {
        check(JCudaDriver.cuEventSynchronize(handle), "cuEventSynchronize");
    }

    /** Time from an earlier event to this one; both have happened. */
    float millisecondsSince(TimingEvent earlier) {
        float[] milliseconds = new float[1];
        check(JCudaDriver.cuEventElapsedTime(milliseconds, earlier.handle, handle), "cuEventElapsedTime");
        return milliseconds[0];
    }

    @Override
    public void close() {
        check(JCudaDriver.cuEventDestroy(handle), "cuEventDestroy");
    }
}
