package org.megabyte4j;
import org.megabyte4j.backend.*;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.*;
import org.megabyte4j.tensor.*;
public class Drv {
    public static void main(String[] a) {
        MegabyteConfig c = a[0].equals("bench") ? Presets.named("benchmark") : new MegabyteConfig(Variant.IN_ACTION,512,8,32,128,2048,4,4,2,4,0.02,257,258);
        int batch=Integer.parseInt(a[1]), len=Integer.parseInt(a[2]), steps=Integer.parseInt(a[3]);
        var b=CpuBackend.open(2);
        var p=new Parameters(c); p.allocate(b); Initializer.initialize(p,b,1);
        var plan=new MemoryPlan();
        var g=Megabyte.forTraining(p,batch,len,plan);
        var m=plan.tensor(MemoryPlan.Category.OPTIMIZER,"m",DType.F32,p.layout().elements());
        var v=plan.tensor(MemoryPlan.Category.OPTIMIZER,"v",DType.F32,p.layout().elements());
        var sc=plan.tensor(MemoryPlan.Category.INPUTS,"s",DType.F32,4);
        Ops ops=b.plan(plan,d->{g.forward(d);g.lossAndBackward(d,1f);});
        b.allocate(plan);
        System.out.println(b.description()+" plan "+plan.bytesByCategory());
        boolean[] dec=new boolean[p.layout().entries().size()];
        int[] ids=new java.util.Random(1).ints(batch*len,0,256).toArray();
        b.write(g.ids(),ids);
        Ops t = a.length>4 ? timing(ops) : ops;
        for(int s=1;s<=steps;s++){
            long t0=System.nanoTime();
            t.fill(g.gradients(),0); t.fill(g.loss(),0);
            g.forward(t); long t1=System.nanoTime(); g.lossAndBackward(t,1f); long t2=System.nanoTime();
            b.write(sc,new StepScalars(1e-3f,(float)(1-Math.pow(.9,s)),(float)(1-Math.pow(.95,s)),0).toArray());
            t.adamW(new Ops.AdamWSettings(.9f,.95f,1e-8f,.1f),p.layout(),dec,sc,Ops.Clip.NONE,p.arena(),g.gradients(),m,v);
            long t3=System.nanoTime();
            System.out.printf("step %d loss %.4f total %.1f ms fwd %.1f bwd %.1f opt %.1f%n",s,b.readFloats(g.loss())[0],(t3-t0)/1e6,(t1-t0)/1e6,(t2-t1)/1e6,(t3-t2)/1e6);
            if(s==steps-3) times.clear();
        }
        times.entrySet().stream().sorted((x,y)->Long.compare(y.getValue()[0],x.getValue()[0])).forEach(e->System.out.printf("%-28s %8.1f ms/step %6d calls%n",e.getKey(),e.getValue()[0]/3e6,e.getValue()[1]/3));
        b.close();
    }
    static java.util.Map<String,long[]> times=new java.util.TreeMap<>();
    static Ops timing(Ops o){
        return (Ops)java.lang.reflect.Proxy.newProxyInstance(Ops.class.getClassLoader(),new Class<?>[]{Ops.class},(pr,me,ar)->{
            long t=System.nanoTime(); Object r=me.invoke(o,ar); 
            String k=me.getName(); if(k.contains("ttention")) k+=((AttentionShape)ar[0]).length();
            long[] x=times.computeIfAbsent(k,q->new long[2]); x[0]+=System.nanoTime()-t;x[1]++; return r;});
    }
}
