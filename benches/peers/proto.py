# proto.py OUT REPS : CPU per query over udp/tcp/dot/doh with dnsperf (core 0) against servers on core 1
import subprocess,os,sys,time,re,json,glob
P=os.environ.get('BENCH', os.getcwd()); out=open(sys.argv[1],'a'); reps=int(sys.argv[2])
os.chdir(P)
def sh(n):  # start through srv.sh, returns (pids list, stopper)
    p=subprocess.Popen(['bash','-c',f'. ./srv.sh; start {n} >/dev/null || exit 1; pids; echo $PIDS; read x; stop'],stdin=subprocess.PIPE,stdout=subprocess.PIPE,stderr=subprocess.DEVNULL,text=True)
    l=p.stdout.readline().strip(); return [int(x) for x in l.split(',')],p
def cpu(pids):
    ns=u=s=0
    for p in pids:
        for t in glob.glob(f'/proc/{p}/task/*/schedstat'):
            try: ns+=int(open(t).read().split()[0])
            except OSError: pass
        try:
            f=open(f'/proc/{p}/stat').read().rsplit(')',1)[1].split(); u+=int(f[11]); s+=int(f[12])
        except OSError: pass
    return ns,u,s
def kids(p):
    r=[p]
    for f in glob.glob(f'/proc/{p}/task/*/children'):
        for c in open(f).read().split(): r+=kids(int(c))
    return r
def run(srv,mode,port,pids,extra=[],q='q/S.txt',sec=3):
    pp=[x for p in pids for x in kids(p)]
    a=cpu(pp); t=time.time()
    o=subprocess.run(['taskset','-c','0','dnsperf','-s','127.0.0.1','-p',str(port),'-m',mode,'-d',q,'-l',str(sec),'-c','10','-q','200','-e']+extra,capture_output=True,text=True,timeout=40).stdout
    b=cpu(pp); g=lambda r:float((re.search(r,o) or [0,'nan'])[1])
    n=g(r'Queries completed:\s+(\d+)'); lost=g(r'Queries lost:\s+(\d+)'); lat=g(r'Average Latency \(s\):\s+([\d.]+)')
    if not n>0: print(srv,mode,'no answers',o[-300:]); return
    us=max((b[0]-a[0])/1e3,(b[1]-a[1]+b[2]-a[2])*1e4)/n; uf=(b[1]-a[1])/max(1,(b[1]-a[1]+b[2]-a[2]))
    r=dict(srv=srv,mode=mode,extra=' '.join(extra),us=round(us,2),user=round(us*uf,2),sys=round(us*(1-uf),2),qps=g(r'Queries per second:\s+([\d.]+)'),lost=lost,lat_ms=round(lat*1e3,2))
    out.write(json.dumps(r)+'\n'); out.flush(); print(r)
for rep in range(reps):
    SEL=sys.argv[3].split(',') if len(sys.argv)>3 else None
    for srv,modes in [x for x in [('nsd',[('tcp',5311),('dot',8531)]),('knot',[('tcp',5312)]),('gdnsd',[('tcp',5315)]),('bind',[('tcp',5316),('dot',8536),('doh',8546)]),('pdns_bind',[('tcp',5319)]),('thalweg',[('tcp',5331)])] if not SEL or x[0] in SEL]:
        pids,p=sh(srv); pids=[pids[0]]
        for m,port in modes:
            run(srv,m,port,pids,(['-O','doh-method=POST'] if m=='doh' else []))
            if m!='doh': run(srv,m,port,pids,['-O','num-queries-per-conn=5'])
        if srv=='gdnsd':
            for nm in ('dnsdist','dnsdist_cache'):  # in front of gdnsd, if you wrote conf/dnsdist*.conf
                if not os.path.exists(f'conf/{nm}.conf'): continue
                d=subprocess.Popen(['taskset','-c','1','dnsdist','--supervised','--disable-syslog','-C',f'conf/{nm}.conf'],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL); time.sleep(1)
                for m,port in (('udp',5330),('tcp',5330),('dot',8530),('doh',8540)):
                    run(nm,m,port,[d.pid])
                    if m in('tcp','dot'): run(nm,m,port,[d.pid],['-O','num-queries-per-conn=5'])
                d.terminate(); d.wait()
        p.stdin.write('\n'); p.stdin.flush(); p.wait()
