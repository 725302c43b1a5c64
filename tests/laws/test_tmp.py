import time
from tests.factories import sound_of
def test_x(centre, signed_in):
    t=time.time()
    c=centre.call()
    print("capture", time.time()-t); t=time.time()
    ch=centre.chat()
    print("chat", time.time()-t); t=time.time()
    v=signed_in(centre.alice)
    print("sign", time.time()-t); t=time.time()
    a=v.listen(sound_of(c).pk)
    print("listen", time.time()-t); t=time.time()
    print(a.status,len(a.body),a.headers)
    assert a.status==206
    a=signed_in(centre.charlie).listen(sound_of(c).pk)
    assert a.status==404
    m=centre.matter_of(c)
    print("matter", time.time()-t)
